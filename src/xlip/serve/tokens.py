"""Who may ask: tokens with the ids that the audit log names them by."""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from xlip.errors import XLIPError
from xlip.files import reading
from xlip.serve.problems import RequestError

VARIABLE = "XLIP_TOKENS"
SHORTEST = 16
"""Characters of a token: a shorter one can be guessed."""
ANYONE = "-"
"""The key id where no token is asked for."""


class Tokens:
    """The keys that are accepted; none: everybody is, which only a loopback address may do."""

    def __init__(self, keys: Mapping[str, str]) -> None:
        self._keys = [(name, _hash(token)) for name, token in keys.items()]

    def __len__(self) -> int:
        return len(self._keys)

    def key_id(self, authorization: str | None) -> str:
        """The id of the key in an `Authorization` header; `-` where none is asked for.

        All keys are compared, each in constant time and by hashes of equal length: how long it takes tells nothing.

        Raises:
            RequestError: no token, or none that is known.
        """
        if not self._keys:
            return ANYONE
        scheme, _, given = (authorization or "").partition(" ")
        hashed, found = _hash(given.strip() if scheme.lower() == "bearer" else ""), ""
        for name, known in self._keys:
            if hmac.compare_digest(hashed, known):
                found = name
        if not found:
            said = "send the header `Authorization: Bearer TOKEN`" if not authorization else "this token is not known"
            raise RequestError("unauthorized", said, {"WWW-Authenticate": 'Bearer realm="xlip"'})
        return found


def load_tokens(path: str) -> Tokens:
    """Tokens of a file (`KEY_ID:TOKEN` a line, `#` begins a comment) and of the variable XLIP_TOKENS.

    Raises:
        XLIPError: an unreadable file, or a line that is no key; the message never holds a token.
    """
    keys: dict[str, str] = {}
    if path:
        with reading(path, "expected a text file with one KEY_ID:TOKEN a line"):
            lines = Path(path).read_text("utf-8").splitlines()
        _add(keys, ((f"{path}:{number}", line) for number, line in enumerate(lines, 1)))
        if not keys:
            raise XLIPError(f"{path}: expected one KEY_ID:TOKEN a line, found none")
    _add(keys, ((VARIABLE, item) for item in os.environ.get(VARIABLE, "").split(",")))
    return Tokens(keys)


def _add(keys: dict[str, str], lines: Iterable[tuple[str, str]]) -> None:
    for where, line in lines:
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        name, colon, token = (part.strip() for part in text.partition(":"))
        if not colon or not name or not name.isprintable() or " " in name:
            raise XLIPError(f"{where}: expected KEY_ID:TOKEN (the id without spaces)")
        if len(token) < SHORTEST or not token.isascii() or " " in token:
            needs = f"expected at least {SHORTEST} ASCII characters without a space as the token of {name}"
            raise XLIPError(f"{where}: {needs}; make one with `openssl rand -hex 16`")
        if name in keys or token in keys.values():
            raise XLIPError(f"{where}: the key {name} or its token stands there twice; give each its own")
        keys[name] = token


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
