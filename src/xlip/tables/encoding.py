"""The encoding of a text file: byte order marks, UTF-8 where it fits, else a guess that is named."""

from __future__ import annotations

import codecs
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import IO

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CHUNK = 1 << 20
_SAMPLE = 1 << 18
_WESTERN = frozenset(
    "äöüÄÖÜßéèêëÉÈÊËàâáãåæÀÂÁÃÅÆçÇíìîïÍÌÎÏñÑóòôõøœÓÒÔÕØŒúùûÚÙÛýÿÝšŠžŽ¿¡°ºªµ«»“”„‘’‚–—…·•²³¹½¼¾±×€£§®©™\xa0\xad"
)
"""What a cp1252 text of a Western European language holds beyond ASCII."""
_LIKELY = (
    *("cp1250", "cp1251", "cp1252", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "cp1258", "cp874"),
    *("gb18030", "big5", "cp932", "euc_jp", "cp949", "koi8_r"),
)
"""What systems write; their old relatives differ from them in letters that a short text may lack."""
WESTERN_ERRORS = "xlip-cp1252"
"""Error handler: bytes that are not UTF-8 are cp1252, each by itself, so that a file may mix both."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """How to decode a file."""

    name: str
    errors: str = "strict"
    guessed: str = ""
    """What was assumed, where the bytes do not say it themselves."""
    line: int = 1
    """Where the assumption was first needed."""


def detect(opened: Callable[[], AbstractContextManager[IO[bytes]]], named: str = "") -> Encoding:
    """The encoding of a file, from all of its bytes; memory stays bounded.

    Args:
        opened: opens the file from its beginning.
        named: what the user says it is.
    """
    if named:
        return Encoding(codecs.lookup(named).name, "replace")
    with opened() as stream:
        head = stream.read(1 << 16)
        for mark, name in _MARKS:
            if head.startswith(mark):
                return Encoding(name, "replace")
        if head.count(0) > len(head) // 4:
            return Encoding("utf-16-le" if head[1::2].count(0) >= head[::2].count(0) else "utf-16-be", "replace")
        decoder = codecs.getincrementaldecoder("utf-8")()
        lines, chunk = 1, head
        try:
            while chunk:
                decoder.decode(chunk)
                lines += chunk.count(b"\n")
                chunk = stream.read(_CHUNK)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError as error:
            lines += error.object[: error.start].count(b"\n")
            return _foreign(chunk[max(0, error.start - 4096) :] + stream.read(_SAMPLE), lines)
    return Encoding("utf-8")


def _foreign(sample: bytes, line: int) -> Encoding:
    """The encoding of bytes that are not UTF-8."""
    western = sample.decode("utf-8", WESTERN_ERRORS)
    beyond = {letter for letter in western if letter > "\x7f"}
    if beyond <= _WESTERN:
        return Encoding("utf-8", WESTERN_ERRORS, "cp1252", line)
    from charset_normalizer import from_bytes

    found = from_bytes(sample, cp_isolation=list(_LIKELY)).best()
    if found is None or found.encoding in ("ascii", "utf_8"):
        return Encoding("utf-8", WESTERN_ERRORS, "cp1252", line)
    return Encoding(found.encoding, "replace", found.encoding, line)


def as_text(data: bytes) -> str | None:
    """Bytes as a text in UTF-8 or cp1252; None where they hold what no Western European text does."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        text = data.decode("utf-8", WESTERN_ERRORS)
        return text if {letter for letter in text if letter > "\x7f"} <= _WESTERN else None


def _as_western(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    return error.object[error.start : error.end].decode("cp1252", "replace"), error.end


codecs.register_error(WESTERN_ERRORS, _as_western)
