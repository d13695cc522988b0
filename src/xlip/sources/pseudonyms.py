"""Keyed hashes in the place of identifiers, and the private list that leads back from them.

HMAC-SHA256 under a key that only the hospital has: the same key joins images, reports, tables and later pulls; without
it one cannot try out all record numbers, as with a plain hash.
"""

from __future__ import annotations

import csv
import hashlib
import hmac
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from xlip.errors import XLIPError
from xlip.files import writing

SHORTEST_KEY = 16
"""Bytes."""
DIGITS = 20
"""Hexadecimal digits of a pseudonym, 80 bits."""
LONGEST_SHIFT = 1825
"""Days that a shifted date lies before the true one, at most."""


@dataclass(frozen=True, slots=True)
class Private:
    """The two files of a preparation that stay in the hospital."""

    key: Path | None
    """None: an error as soon as an id has to be hashed."""
    lookup: Path | None = None
    """The list that leads back; None: none is written."""
    make: bool = False
    """A key file that is not there is made; else it is an error, for a new key joins nothing."""


class Pseudonyms:
    """Pseudonyms under one key, which is read, or made, when the first is asked for."""

    def __init__(self, private: Private | None) -> None:
        """Without private files the key is random, and gone with this object."""
        self.private = private
        self._key = b"" if private else secrets.token_bytes(32)

    def of(self, kind: str, value: str) -> str:
        """The pseudonym of a value; of no value, none. Case, and space around it, make no difference.

        Raises:
            XLIPError: the key file is missing, too short, or cannot be read or written.
        """
        said = " ".join(value.upper().split())
        return self._digest(kind, said)[:DIGITS] if said else ""

    def shifted(self, patient: str, day: date) -> date:
        """The day, moved back by 1 to `LONGEST_SHIFT` days: as many for all days of a patient (its pseudonym)."""
        return day - timedelta(days=1 + int(self._digest("shift", patient)[:12], 16) % LONGEST_SHIFT)

    def _digest(self, kind: str, said: str) -> str:
        if not self._key:
            self._key = _read(self.private.key, make=self.private.make) if self.private else b""
        return hmac.new(self._key, f"{kind}\n{said}".encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()


def _read(path: Path | None, *, make: bool) -> bytes:
    if path is None:
        raise XLIPError("ids are hashed, and no key is made beside a URL: name a local key file with --key")
    if make and not path.exists():
        make_key(path)
    try:
        data = path.read_bytes().strip()
    except OSError as error:
        raise XLIPError(
            f"{path}: cannot read the key file ({error.strerror or error}); leave --key out to have one made, "
            "or make one: `openssl rand -hex 32 > FILE`"
        ) from error
    if len(data) < SHORTEST_KEY:
        raise XLIPError(
            f"{path}: expected a key of at least {SHORTEST_KEY} bytes, got {len(data)}; a short one is guessed"
        )
    return data


def make_key(path: Path) -> None:
    """Write 256 random bits as a file that only its owner can read; one that is there stays as it is."""
    with writing(path, "name a key file with --key"):
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
        with private(partial) as stream:
            stream.write(secrets.token_hex(32) + "\n")
        with suppress(FileExistsError):
            os.link(partial, path)  # fails where a key is there, or another run was first: all read the same one
        partial.unlink()


@contextmanager
def private(path: Path) -> Iterator[Any]:
    """A new text file with mode 0600, whatever the mask of the process says."""
    path.unlink(missing_ok=True)
    handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace", newline="") as stream:
        yield stream


class Lookup:
    """The private list (kind, pseudonym, value) by which the hospital finds a file or patient again."""

    def __init__(self, stream: Any) -> None:
        self.table = csv.writer(stream)
        self.table.writerow(("kind", "pseudonym", "value"))
        self.seen: set[str] = set()

    def add(self, kind: str, pseudonym: str, value: str) -> None:
        """Write down a pair, once."""
        if value and pseudonym not in self.seen:
            self.seen.add(pseudonym)
            self.table.writerow((kind, pseudonym, value))


@contextmanager
def lookup(target: Path | None) -> Iterator[Lookup]:
    """A list that takes the place of `target` at the end of the block, with mode 0600; kept nowhere without one."""
    if target is None:
        with Path(os.devnull).open("w", encoding="utf-8") as stream:
            yield Lookup(stream)
        return
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    with writing(target):
        try:
            with private(partial) as stream:
                yield Lookup(stream)
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)
