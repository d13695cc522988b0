"""The image files that a cell of a table names, on whatever system it was written."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from xlip.sources.cells import several

_SPELT = re.compile(r"\.\.|//|(?:^|/)\./|^/|/$")
"""What a path may hold that is not stored as it is."""


@dataclass
class Found:
    """What a cell names."""

    files: list[tuple[str, Path]] = field(default_factory=list)
    """Path to store, without folders above the table, and the file."""
    missing: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def find_images(text: str, folder: Path) -> Found:
    """The files of a cell, looked for below the folder of its table.

    A cell may hold several paths (`a.png;b.png`, `['a.png', 'b.png']`), backslashes, and absolute paths of another
    machine, whose last parts are tried from the longest on.
    """
    found = Found()
    whole = _find(text, folder, found)
    if whole is not None:
        found.files.append(whole)
        return found
    parts = several(text)
    for part in parts if len(parts) > 1 or parts != [text] else ():
        file = _find(part, folder, found)
        if file is None:
            found.missing.append(part)
        else:
            found.files.append(file)
    if len(found.files) > 1:
        found.notes.append("several images in one cell: each is a study with the same report and labels")
    if not parts or (not found.files and not found.missing):
        found.missing.append(text)
    return found


def _find(text: str, folder: Path, found: Found) -> tuple[str, Path] | None:
    if "\0" in text or len(text) > 4096:
        return None
    try:
        if (whole := folder / text).is_file():
            return _stored(text), whole
    except (OSError, ValueError):  # a name that no system could have
        return None
    plain = text.replace("\\", "/")
    foreign = plain != text or plain.startswith("/") or re.match(r"[A-Za-z]:", plain) is not None
    if not foreign:
        return None
    parts = [part for part in re.sub(r"^[A-Za-z]:", "", plain).split("/") if part not in ("", ".")]
    for start in range(len(parts)):
        path = "/".join(parts[start:])
        if ".." not in parts[start:] and (folder / path).is_file():
            if start or plain.startswith("/") or ":" in plain[:2]:
                found.notes.append("a path of another machine: the image was found by its last parts")
            return path, folder / path
    return None


def _stored(text: str) -> str:
    """A path as it is kept: an absolute one, or one that leaves the folder, without its folders."""
    if not _SPELT.search(text):
        return text
    path = PurePosixPath(text)
    return path.name if path.is_absolute() or ".." in path.parts else path.as_posix()
