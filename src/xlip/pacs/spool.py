"""A folder of received DICOM files: each whole or not there, named by a hash, readable by its owner alone."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
from contextlib import suppress
from pathlib import Path
from platform import node

from xlip.errors import XLIPError
from xlip.files import check_target, whole_file, writing

DIGITS = 32
"""Hexadecimal digits of a name, 128 bits of SHA-256 of the SOP Instance UID."""


class Spool:
    """Files as they came, `ab/abcdef....dcm`; any tree of them is what `prepare dicom` and `embed` read."""

    def __init__(self, folder: Path, reserve: int = 0) -> None:
        """Make the folder, with mode 0700, or take up one that is there.

        Args:
            folder: where the files go.
            reserve: bytes that are left free on its disk.

        Raises:
            XLIPError: it cannot be written.
        """
        self.folder, self.reserve = folder, reserve
        check_target(folder, folder=True)
        with writing(folder):
            folder.parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileExistsError):
                folder.mkdir(mode=0o700)
            self._sweep()

    def path_of(self, uid: str) -> Path:
        """Where the instance with this SOP Instance UID is, or would be."""
        name = hashlib.sha256(uid.encode("utf-8", "surrogateescape")).hexdigest()[:DIGITS]
        return self.folder / name[:2] / f"{name}.dcm"

    def has(self, uid: str) -> bool:
        """Whether the instance is there."""
        return self.path_of(uid).is_file()

    def put(self, uid: str, data: bytes) -> bool:
        """Keep an instance; False where the same bytes were there.

        Other bytes under a known UID (a corrected header, say) get a name of their own: nothing that came is lost.

        Raises:
            OSError: the disk is full (ENOSPC, also where only the reserve is left), or cannot be written.
        """
        path = self.path_of(uid)
        if path.exists():
            if path.read_bytes() == data:
                return False
            path = path.with_name(f"{path.stem}-{hashlib.sha256(data).hexdigest()[:16]}.dcm")
            if path.exists():
                return False
        if shutil.disk_usage(self.folder).free - len(data) < self.reserve:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        path.parent.mkdir(mode=0o700, exist_ok=True)
        with whole_file(path) as stream:
            stream.write(data)
        return True

    def _sweep(self) -> None:
        """Remove what a process left half-written that was killed on this machine."""
        for path in self.folder.glob("*/.*.partial"):
            match = re.search(rf"\.{re.escape(node())}-(\d+)\.partial$", path.name)
            if match and not _alive(int(match.group(1))):
                path.unlink(missing_ok=True)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def megabytes(value: int, option: str) -> int:
    """An option in megabytes as bytes.

    Raises:
        XLIPError: it is not positive.
    """
    if value < 1:
        raise XLIPError(f"{option}: expected at least 1 megabyte, got {value}")
    return value << 20
