"""Ways to damage a file, and to meet it without the rights that root has."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

Damage = Callable[[Path], None]
_OVERRIDE = 0b110
"""CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH: root reads and writes whatever the modes of files say."""


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def empty(file: Path) -> None:
    file.write_bytes(b"")


def flip(file: Path) -> None:
    """Seven bytes, spread over the last two thirds."""
    content = bytearray(file.read_bytes())
    for place in range(len(content) // 3, len(content), max(len(content) // 7, 1)):
        content[place] ^= 0x55
    file.write_bytes(bytes(content))


def flip_one_bit(file: Path) -> None:
    content = bytearray(file.read_bytes())
    if content:
        content[len(content) // 2] ^= 0x10
    file.write_bytes(bytes(content))


def other_type(file: Path) -> None:
    file.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)))


def other_text(file: Path) -> None:
    """What a failed download leaves."""
    file.write_text("<html><head><title>403 Forbidden</title></head></html>\n")


def missing(file: Path) -> None:
    file.unlink()


def unreadable(file: Path) -> None:
    """Without the right to read it; see `without_override`."""
    file.chmod(0)


def folder_in_its_place(file: Path) -> None:
    file.unlink()
    file.mkdir()


DAMAGES: tuple[Damage, ...] = (
    *(cut, empty, flip, flip_one_bit, other_type, other_text),
    *(missing, unreadable, folder_in_its_place),
)


@contextmanager
def without_override() -> Iterator[None]:
    """Within the block, modes of files count for root too (in this thread and those that it starts)."""
    if os.geteuid() or not sys.platform.startswith("linux"):
        yield
        return
    before = _effective()
    _set_effective(before & ~_OVERRIDE)
    try:
        yield
    finally:
        _set_effective(before)


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("process", ctypes.c_int))


class _Sets(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


def _capabilities() -> tuple[ctypes.CDLL, _Header, ctypes.Array[_Sets]]:
    library, header, sets = ctypes.CDLL(None, use_errno=True), _Header(0x20080522, 0), (_Sets * 2)()
    assert library.capget(ctypes.byref(header), sets) == 0, os.strerror(ctypes.get_errno())
    return library, header, sets


def _effective() -> int:
    return int(_capabilities()[2][0].effective)


def _set_effective(wanted: int) -> None:
    library, header, sets = _capabilities()
    sets[0].effective = wanted
    assert library.capset(ctypes.byref(header), sets) == 0, os.strerror(ctypes.get_errno())
