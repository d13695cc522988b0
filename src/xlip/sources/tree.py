"""Every file below a folder, links followed: each folder once, so that a circle of links ends."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from xlip.files import is_local
from xlip.sources.source import Dropped, files_under

NOT_UTF_8 = "its name is not UTF-8, which tables and Parquet hold; rename it"
TWICE = "linked folder that was read already: a link is followed once"


def tree(root: Path) -> Iterator[tuple[str, Path | str] | Dropped]:
    """Every file below `root`, hidden ones too: where it stands (forward slashes), and its path.

    In the order of the names. What cannot be read comes as `Dropped`: a link that leads nowhere, a folder reached a
    second time, a name in another encoding than UTF-8, anything that is neither a file nor a folder.

    Raises:
        OSError: the root, or a folder in it, is not there or may not be read.
    """
    if not is_local(root):
        yield from sorted(files_under(root))
        return
    yield from _below(os.fspath(root), "", {_identity(os.fspath(root))})


def _below(folder: str, inside: str, seen: set[tuple[int, int]]) -> Iterator[tuple[str, Path | str] | Dropped]:
    ahead = [(folder, inside)]
    while ahead:  # a stack, for a tree may be deeper than Python's own
        folder, inside = ahead.pop()
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda entry: entry.name)
        below = []
        for entry in entries:
            place = inside + entry.name
            if shown := not_utf_8(place):
                yield Dropped(shown, NOT_UTF_8)
                continue
            kind = _kind(entry)
            if kind == "folder":
                identity = _identity(entry.path)
                if identity in seen:
                    yield Dropped(place, TWICE)
                else:
                    seen.add(identity)
                    below.append((entry.path, place + "/"))
            elif kind == "file":
                yield place, entry.path
            else:
                yield Dropped(place, kind)
        ahead += reversed(below)


def not_utf_8(name: str) -> str:
    """A name that holds bytes of another encoding, as it can be shown; '' for any other name."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return name.encode("utf-8", "backslashreplace").decode("utf-8")
    return ""


def _kind(entry: os.DirEntry[str]) -> str:
    """What is at the end of an entry's links, in words."""
    try:
        if entry.is_dir():
            return "folder"
        if entry.is_file():
            return "file"
    except OSError:  # a link to itself
        return "link that leads nowhere"
    return "link that leads nowhere" if entry.is_symlink() else "neither a file nor a folder"


def _identity(path: str) -> tuple[int, int]:
    state = Path(path).stat()
    return state.st_dev, state.st_ino
