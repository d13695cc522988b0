"""The one file that says what an index holds: nothing beside it counts until it says so, and it changes in one step."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from xlip.errors import XLIPError
from xlip.files import reading, write_json, writing
from xlip.search.store import Facts

NAME = "index.json"
LOCK = ".lock"
FORMAT = "xlip-index/1"
TEXT, WHOLE, REAL = TYPES = ("text", "whole", "real")


@dataclass(frozen=True)
class PartEntry:
    """A part: files of one name, which never change once they are listed."""

    name: str
    rows: int
    has_reports: bool
    removed: str = ""
    """File that lists the rows which do not count any more; '' for none."""
    gone: int = 0
    """How many these are."""


@dataclass(frozen=True)
class Manifest:
    """Everything in `index.json`."""

    facts: Facts
    columns: Mapping[str, str] = field(default_factory=dict)
    """Column -> text, whole or real; the type of every part once it is read."""
    parts: tuple[PartEntry, ...] = ()
    written: int = 0
    """How often it was changed: names of files are made of it."""

    def rows(self) -> int:
        """Rows that count."""
        return sum(part.rows - part.gone for part in self.parts)

    def next(self, **changes: Any) -> Manifest:
        """The manifest after a change."""
        return replace(self, written=self.written + 1, **changes)


def read_manifest(folder: Path) -> Manifest:
    """The manifest of an index.

    Raises:
        XLIPError: there is none, it is of another version, or it cannot be read.
    """
    file = folder / NAME
    if not file.is_file():
        raise XLIPError(f"{folder}: expected an index, found no {NAME}; make one with `xlip embed --out {folder}`")
    with reading(file, "make the index again with `xlip embed`"):
        found = json.loads(file.read_text("utf-8"))
        if found.get("format") != FORMAT:
            raise XLIPError(f"{file}: expected format {FORMAT}, got {found.get('format')!r}; embed again")
        parts = tuple(PartEntry(**part) for part in found["parts"])
        return Manifest(Facts(**found["facts"]), dict(found["columns"]), parts, int(found["written"]))


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Make a manifest the index's own, in one step."""
    write_json(
        folder / NAME,
        {
            "format": FORMAT,
            "facts": asdict(manifest.facts),
            "columns": dict(manifest.columns),
            "parts": [asdict(part) for part in manifest.parts],
            "written": manifest.written,
        },
    )


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """The right to change an index, for one process at a time; a process that ends, however it ends, gives it back.

    Raises:
        XLIPError: another process has it, or the folder may not be written.
    """
    import fcntl

    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        stream = (folder / LOCK).open("ab")
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise XLIPError(f"{folder}: another process is changing this index; wait until it is done") from error
        yield


def typed(columns: Mapping[str, str], rows: list[Mapping[str, Any]], where: object) -> dict[str, str]:
    """The types of the columns after some rows: whole numbers become real ones where need be; text stays text.

    Raises:
        XLIPError: text in a column of numbers.
    """
    types = dict(columns)
    for row in rows:
        for name, value in row.items():
            kind = _type_of(value)
            known = types.setdefault(name, kind)
            if {known, kind} == {WHOLE, REAL}:
                types[name] = REAL
            elif kind == TEXT and known != TEXT:
                raise XLIPError(
                    f"{where}: column {name} holds numbers in this index, got {str(value)[:40]!r}; "
                    "leave the column out with --columns, or embed into another folder"
                )
    return types


def _type_of(value: object) -> str:
    if isinstance(value, str):
        return TEXT
    return WHOLE if isinstance(value, int) else REAL
