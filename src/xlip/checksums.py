"""Checksums of the files of a folder: damage that a library would read without complaint is found before it is used."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from pathlib import Path

from xlip.errors import XLIPError
from xlip.files import reading, write_json

SUMS = "checksums.json"
logger = logging.getLogger(__name__)


def write_sums(folder: Path, patterns: Sequence[str] = ("*",)) -> None:
    """Write `checksums.json`: file name -> SHA-256 of every file directly in the folder that fits a pattern."""
    chosen = [file for file in _files(folder) if any(file.match(pattern) for pattern in patterns)]
    write_json(folder / SUMS, {file.name: sum_of(file) for file in chosen})


def changed_files(folder: Path, *, all_files: bool) -> list[str]:
    """Names of files that are not what `write_sums` found, missing ones too; none where nothing was summed.

    Args:
        folder: with or without `checksums.json`.
        all_files: whether files that came later count as changed.

    Raises:
        XLIPError: `checksums.json` or a file cannot be read.
    """
    if not (folder / SUMS).exists():
        return []
    with reading(folder / SUMS, "copy it again; or remove it, and the files beside it are taken as they are"):
        sums = dict(json.loads((folder / SUMS).read_text("utf-8")))
    with reading(folder):
        there = {file.name: sum_of(file) for file in _files(folder) if all_files or file.name in sums}
    return sorted(name for name in sums.keys() | there.keys() if sums.get(name) != there.get(name))


def check_sums(folder: Path) -> None:
    """Refuse a folder whose summed weights are others now; warn of other files, which people edit.

    Raises:
        XLIPError: weights that are damaged.
    """
    for name in changed_files(folder, all_files=False):
        told = (
            f"{folder / name}: damaged, it is not what was written ({SUMS} beside it tells); copy it again, or "
            f"remove {SUMS} where you changed it yourself"
        )
        if name.endswith(".safetensors"):
            raise XLIPError(told)
        logger.warning(told)


def sum_of(file: Path) -> str:
    """SHA-256 in hexadecimal digits."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _files(folder: Path) -> list[Path]:
    return [file for file in sorted(folder.iterdir()) if file.is_file() and file.name != SUMS]
