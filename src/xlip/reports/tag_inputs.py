"""What `xlip tag` reads: a text file, JSON lines, CSV, Parquet, a folder of these, or standard input."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from xlip.errors import XLIPError
from xlip.files import reading
from xlip.tables.read import SUFFIXES as TABLE_SUFFIXES
from xlip.tables.read import has_table_suffix, read_rows
from xlip.tables.row import Fault

TEXT_COLUMNS = ("report", "text")
"""Tried in this order where no column is named."""
ID_COLUMNS = ("study_id", "id", "uid")
SUFFIXES = (".txt", *sorted(TABLE_SUFFIXES))


@dataclass(frozen=True, slots=True)
class Document:
    """One report to tag."""

    id: str
    text: str
    note: str = ""
    """Why the text is not what it should be; empty where all is well."""


def read_documents(source: str, column: str = "") -> Iterator[Document]:
    """The reports of a file, a folder or standard input (`-`), one after the other; memory stays bounded.

    A `.txt` file is one report; of standard input every line is one, as text or as a JSON object. A line or row that
    cannot be read becomes a document without text whose note says why.

    Raises:
        XLIPError: nothing there, a suffix that is not known, or no column with reports.
    """
    if source == "-":
        yield from _lines(sys.stdin.buffer, "stdin", column)
        return
    path = Path(source)
    if path.is_dir():
        inside = [file for file in sorted(path.rglob("*")) if file.suffix.lower() in SUFFIXES and file.is_file()]
        if not inside:
            raise XLIPError(f"{path}: expected files ending in {', '.join(SUFFIXES)}; found none")
        for file in inside:
            yield from _file_or_fault(file, column)
        return
    if not path.is_file():
        raise XLIPError(f"{path}: expected a file, a folder, or - for standard input; found nothing there")
    yield from _file_or_fault(path, column)


def decode_text(raw: bytes) -> tuple[str, str]:
    """Bytes as text, and a note where they are not UTF-8; never fails."""
    for mark, encoding in ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16")):
        if raw.startswith(mark):
            return raw.decode(encoding, errors="replace"), f"read as {encoding}"
    try:
        return raw.decode("utf-8-sig"), ""
    except UnicodeDecodeError:
        # Old exports are Windows-1252; its five unused bytes become replacement characters.
        return raw.decode("cp1252", errors="replace"), "not UTF-8: read as cp1252"


def _file_or_fault(path: Path, column: str) -> Iterator[Document]:
    none = True
    # Not left to whoever writes the output: that would name the wrong file.
    with reading(path, "copy it again"):
        for document in _file(path, column):
            none = False
            yield document
    if none:
        yield Document(path.name, "", "a file without a report")


def _file(path: Path, column: str) -> Iterator[Document]:
    suffix = path.suffix.lower()
    if suffix == ".txt":
        text, note = decode_text(path.read_bytes())
        yield Document(path.stem, text, note)
    elif suffix == ".jsonl":
        with path.open("rb") as stream:
            yield from _lines(stream, path.name, column)
    elif has_table_suffix(path.name):
        yield from _table(path, column)
    else:
        raise XLIPError(f"{path}: expected a file ending in {', '.join(SUFFIXES)}")


def _lines(stream: BinaryIO, name: str, column: str) -> Iterator[Document]:
    for number, raw in enumerate(stream, start=1):
        text, note = decode_text(raw.rstrip(b"\r\n"))
        id_ = f"{name}:{number}"
        if not text.lstrip().startswith("{"):
            yield Document(id_, text, note if name == "stdin" or not text.strip() else note or "not a JSON object")
            continue
        yield _json(text, id_, note, column)


def _json(text: str, id_: str, note: str, column: str) -> Document:
    try:
        item = json.loads(text)
    except ValueError as error:
        return Document(id_, "", f"not readable as JSON: {error}")
    names = (column,) if column else TEXT_COLUMNS
    found = next((item[name] for name in names if item.get(name) is not None), None)
    own = next((str(item[name]) for name in ID_COLUMNS if item.get(name) is not None), id_)
    if not isinstance(found, str):
        return Document(own, "", f"no text under {' or '.join(names)}")
    # Half a surrogate pair, which JSON can hold, fits into no file: it becomes a question mark.
    return Document(own, found.encode("utf-8", "replace").decode("utf-8"), note)


def _table(path: Path, column: str) -> Iterator[Document]:
    name = own = note = ""
    for row in read_rows(path, (column,) if column else ()):
        if isinstance(row, Fault):
            note = "" if row.lost else row.reason
            if row.lost:
                yield Document(f"{path.name}:{row.line}", "", row.reason)
            continue
        if not name:
            name, own = _columns(list(row.cells), path, column)
        yield Document((own and row.cells[own]) or f"{path.name}:{row.line}", row.cells[name], note)
        note = ""


def _columns(names: list[str], path: Path, column: str) -> tuple[str, str]:
    """The columns of the reports and of the ids ('' where there is none)."""
    wanted = (column,) if column else TEXT_COLUMNS
    name = next((name for name in wanted if name in names), None)
    if name is None:
        raise XLIPError(
            f"{path}: expected a column {' or '.join(wanted)}; its columns are {', '.join(names)}; set --column"
        )
    return name, next((own for own in ID_COLUMNS if own in names), "")
