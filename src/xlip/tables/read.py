"""Any table, by what its first bytes say, as rows of text; what does not fit is named by its line."""

from __future__ import annotations

import codecs
import gzip
import io
import json
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

from xlip.errors import XLIPError
from xlip.tables.delimited import read_delimited, unique_names
from xlip.tables.encoding import detect
from xlip.tables.row import Fault, Row, cell_text, checked_header

SUFFIXES = frozenset({".csv", ".tsv", ".tab", ".xlsx", ".xlsm", ".jsonl", ".ndjson", ".parquet", ".arrow"})
"""Suffixes of tables, in capitals or not; `.gz` may follow."""
_OTHERS = {
    b"BZh": "an archive of bzip2",
    b"\xfd7zXZ\0": "an archive of xz",
    b"\x28\xb5\x2f\xfd": "an archive of zstd",
    b"7z\xbc\xaf": "an archive of 7-Zip",
    b"Rar!": "an archive of RAR",
    b"{\\rtf": "a text of a word processor (RTF)",
    b"$FL2": "a file of SPSS",
    b"\0" * 12 + b"\xc2\xea\x81\x60": "a file of SAS",
    b"\x89HDF": "an HDF5 file",
    b"\x89PNG": "a picture (PNG)",
    b"\xff\xd8\xff": "a picture (JPEG)",
}
"""First bytes -> what the file is."""
_LOOKED_AT = 4096
"""Characters of a text by which it is told from other files."""
_MOST_CONTROL = 0.05
"""Share of control characters in a text."""
_GZIP, _ZIP, _OLD_EXCEL, _PARQUET = b"\x1f\x8b", b"PK\x03\x04", b"\xd0\xcf\x11\xe0", b"PAR1"


def has_table_suffix(path: str) -> bool:
    """Whether a file is called like a table: `x.csv`, `X.CSV`, `x.tsv.gz` ..."""
    name = path.replace("\\", "/").rpartition("/")[2].lower().removesuffix(".gz")
    return "." + name.rpartition(".")[2] in SUFFIXES


def read_rows(
    path: Path,
    required: tuple[str, ...] = (),
    *,
    encoding: str = "",
    sheet: str = "",
    pictures: bool = False,
) -> Iterator[Row | Fault]:
    """Rows of a table file or of a Hugging Face data set folder; memory stays bounded (but for one sheet of Excel).

    Delimiter (comma, semicolon, tab, bar) and encoding (byte order marks, UTF-8, UTF-16, cp1252, or the best guess of
    charset-normalizer) are found; blank first lines are skipped; a column name that repeats gets `.1`, `.2` ...; a
    column without a name is not read.

    Args:
        path: a local path or one of fsspec.
        required: columns that must be there.
        encoding: of a text file, where it is known.
        sheet: of a workbook; default: the first that has the required columns.
        pictures: also bring the bytes of images that stand in a Parquet or Arrow table.

    Raises:
        XLIPError: the file is missing, is no table, or lacks a required column or has it twice.
    """
    if encoding:
        try:
            codecs.lookup(encoding)
        except LookupError as error:
            raise XLIPError(f"encoding: unknown encoding {encoding!r}; name one such as utf-8 or cp1252") from error
    try:
        if path.is_dir():
            yield from _data_set(path, required, pictures)
        elif path.is_file():
            yield from _file(path, required, encoding, sheet, pictures)
        else:
            raise XLIPError(f"{path}: expected a table (CSV, TSV, Excel, Parquet, JSON lines), found no such file")
    except (OSError, EOFError, UnicodeError, zlib.error) as error:
        raise XLIPError(f"{path}: not readable as a table ({error}); copy or download it again") from error


def _file(path: Path, required: tuple[str, ...], encoding: str, sheet: str, pictures: bool) -> Iterator[Row | Fault]:
    with opened(path) as stream:
        head = stream.read(1 << 12)
    if head.startswith(_ZIP):
        from xlip.tables.excel import read_excel

        yield from read_excel(path, required, sheet)
    elif head.startswith(_PARQUET) or head.startswith(b"ARROW1"):
        from xlip.tables.arrow import read_arrow

        yield from read_arrow(path, [path], required, pictures)
    elif head.startswith(_OLD_EXCEL):
        raise XLIPError(f"{path}: an old or encrypted Office file; save it as .xlsx without a password, or as CSV")
    elif kind := next((name for magic, name in _OTHERS.items() if head.startswith(magic)), ""):
        raise XLIPError(f"{path}: expected a table, found {kind}; unpack it, or export the table as CSV or .xlsx")
    elif re.match(rb"(?:\xef\xbb\xbf)?\s*(?:\[\s*)?\{", head):
        yield from _json_lines(path, required, encoding)
    elif head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"<" or head.startswith(b"%PDF"):
        raise XLIPError(f"{path}: expected a table, found a page (HTML, XML or PDF); save it as .xlsx or CSV")
    else:
        yield from _text(path, required, encoding)


def _data_set(path: Path, required: tuple[str, ...], pictures: bool) -> Iterator[Row | Fault]:
    from xlip.tables.arrow import data_set_files, read_arrow

    files = data_set_files(path)
    if not files:
        raise XLIPError(
            f"{path}: expected a table or a Hugging Face data set (of save_to_disk, or Parquet files in data/), found "
            "another folder; name the file of the table"
        )
    yield from read_arrow(path, files, required, pictures)


def _text(path: Path, required: tuple[str, ...], encoding: str) -> Iterator[Row | Fault]:
    found = detect(lambda: opened(path), encoding)
    if found.guessed:
        reason = f"not UTF-8: read as {found.guessed}, here and below; save it as UTF-8, or name the encoding"
        yield Fault(found.line, reason, lost=False)
    with opened(path) as raw, io.TextIOWrapper(raw, found.name, found.errors, newline="") as text:
        _refuse_binary(path, text.read(_LOOKED_AT))
    with opened(path) as raw, io.TextIOWrapper(raw, found.name, found.errors, newline="") as text:
        lines = (line.replace("\0", " ") if "\0" in line else line for line in text)
        rows = read_delimited(lines, required)
        header = next(rows, None)
        if not isinstance(header, list):
            raise XLIPError(f"{path}: expected a table with a header, found an empty file")
        checked_header(path, header, required)
        for row in rows:
            assert not isinstance(row, list)
            yield row


def _refuse_binary(path: Path, text: str) -> None:
    """Refuse what no encoding turns into a text: a file of a statistics program, a picture ...

    Raises:
        XLIPError: it is such a file.
    """
    control = sum(1 for letter in text if letter < " " and letter not in "\t\r\n\f\v\0\x1a")
    if control > len(text) * _MOST_CONTROL:
        raise XLIPError(f"{path}: expected a table as a text, found a file of another program; export the table as CSV")


def _json_lines(path: Path, required: tuple[str, ...], encoding: str) -> Iterator[Row | Fault]:
    found = detect(lambda: opened(path), encoding)
    names: dict[str, None] = {}
    first: Fault | None = None
    with opened(path) as raw, io.TextIOWrapper(raw, found.name, found.errors) as text:
        for item in _objects(text):
            if isinstance(item, Row):
                names |= dict.fromkeys(item.cells)
            else:
                first = first or item
    if not names and first is not None:
        raise XLIPError(f"{path}: line {first.line}: {first.reason}")
    checked_header(path, list(names), required)
    blank = dict.fromkeys(names, "")
    with opened(path) as raw, io.TextIOWrapper(raw, found.name, found.errors) as text:
        for item in _objects(text):
            yield Row(item.line, blank | item.cells) if isinstance(item, Row) else item


def _objects(text: IO[str]) -> Iterator[Row | Fault]:
    """The objects of JSON lines, or of one array."""
    for number, line in enumerate(text, 1):
        if not line.strip():
            continue
        if number == 1 and line.lstrip("\ufeff \t").startswith("["):
            try:
                items = json.loads(line.lstrip("\ufeff") + text.read(), object_pairs_hook=_unique)
            except ValueError as error:
                yield Fault(1, f"not readable as JSON ({error}); write one object a line", lost=True)
                return
            yield from (_object(place, item) for place, item in enumerate(items, 1))
            return
        try:
            yield _object(number, json.loads(line.lstrip("\ufeff"), object_pairs_hook=_unique))
        except ValueError as error:
            yield Fault(number, f"not readable as JSON ({str(error).partition(':')[0]}); mend this line", lost=True)


def _object(number: int, item: Any) -> Row | Fault:
    if not isinstance(item, dict):
        return Fault(
            number, f"expected a JSON object with the columns as its keys, got {type(item).__name__}", lost=True
        )
    return Row(number, {key: cell_text(value) for key, value in item.items()})


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose keys keep their values where one comes again, as the columns of other tables do."""
    return dict(zip(unique_names([key for key, _ in pairs]), (value for _, value in pairs), strict=True))


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """The bytes of a file, unpacked where it is gzip."""
    with path.open("rb") as raw:
        packed = raw.read(2) == _GZIP
        raw.seek(0)
        if not packed:
            yield raw
            return
        with gzip.GzipFile(fileobj=raw) as stream:
            yield cast("IO[bytes]", stream)
