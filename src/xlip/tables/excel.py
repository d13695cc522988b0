"""Sheets of an Excel workbook as rows of text."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from datetime import date, datetime, time
from pathlib import Path
from typing import IO, Any

from xlip.errors import XLIPError
from xlip.tables.delimited import unique_names
from xlip.tables.row import Fault, Row, cell_text, checked_header

LARGEST = 4 << 30
"""Bytes that a workbook may unpack to."""
_UNCOMPUTED = re.compile(rb"</f>\s*(?:<v\s*/>|<v></v>|</c>)")


def read_excel(path: Path, required: tuple[str, ...], sheet: str) -> Iterator[Row | Fault]:
    """Rows of one sheet: the named one, or the first that has the required columns.

    Raises:
        XLIPError: no workbook, no such sheet or column, or formulas whose values were never computed.
    """
    import openpyxl
    from openpyxl.utils.exceptions import InvalidFileException

    with path.open("rb") as stream:
        _refuse_foreign(path, stream)
        try:
            book = openpyxl.load_workbook(stream, read_only=True, data_only=True)
        except (InvalidFileException, zipfile.BadZipFile, KeyError, ValueError) as error:
            raise XLIPError(f"{path}: not readable as an Excel workbook ({error}); save it again") from error
        try:
            yield from _rows_of(path, _chosen(path, book, required, sheet), required, len(book.worksheets) > 1)
        finally:
            book.close()


def _refuse_foreign(path: Path, stream: IO[bytes]) -> None:
    try:
        with zipfile.ZipFile(stream) as archive:
            names = archive.namelist()
            if "content.xml" in names or "xl/workbook.bin" in names:
                raise XLIPError(f"{path}: a workbook in another format (.ods or .xlsb); save it as .xlsx, or as CSV")
            if "xl/workbook.xml" not in names:
                raise XLIPError(
                    f"{path}: a zip archive, not a workbook; name a table inside of it: zip://table.csv::{path}"
                )
            if sum(item.file_size for item in archive.infolist()) > LARGEST:
                raise XLIPError(f"{path}: expected a workbook of at most {LARGEST >> 30} GiB unpacked; export CSV")
            for name in names:
                if name.startswith("xl/worksheets/") and _has_uncomputed(archive, name):
                    raise XLIPError(
                        f"{path}: holds formulas whose values were never computed; open and save it in a "
                        "spreadsheet program, or export CSV"
                    )
    except zipfile.BadZipFile as error:
        raise XLIPError(f"{path}: damaged ({error}); copy or download it again") from error
    stream.seek(0)


def _has_uncomputed(archive: zipfile.ZipFile, name: str) -> bool:
    with archive.open(name) as stream:
        tail = b""
        while chunk := stream.read(1 << 20):
            if _UNCOMPUTED.search(tail + chunk):
                return True
            tail = chunk[-64:]
    return False


def _chosen(path: Path, book: Any, required: tuple[str, ...], sheet: str) -> Any:
    names = [one.title for one in book.worksheets]
    if sheet:
        if sheet not in names:
            raise XLIPError(f"{path}: no sheet {sheet!r}; its sheets are {', '.join(names)}")
        return book[sheet]
    for one in book.worksheets:
        if set(_header(one)[1]).issuperset(required) and _header(one)[1]:
            return one
    if not names:
        raise XLIPError(f"{path}: the workbook has no sheet with cells")
    return book.worksheets[0]


def _header(sheet: Any) -> tuple[int, list[str]]:
    """Number of the first row with a cell, and the names in it."""
    sheet.reset_dimensions()  # programs write wrong ones
    for number, values in enumerate(sheet.iter_rows(min_row=1, max_row=100, values_only=True), 1):
        if any(value is not None and str(value).strip() for value in values):
            return number, unique_names([_text(value) for value in values])
    return 0, []


def _rows_of(path: Path, sheet: Any, required: tuple[str, ...], several: bool) -> Iterator[Row | Fault]:
    top, names = _header(sheet)
    checked_header(path, [name for name in names if name], required)
    if several:
        yield Fault(top, f"the workbook has several sheets: {sheet.title!r} was read; name one by `sheet`", lost=False)
    for number, values in enumerate(sheet.iter_rows(min_row=top + 1, values_only=True), top + 1):
        cells = [_text(value) for value in values]
        if not any(cells):
            continue
        if any(cells[len(names) :]):
            yield Fault(
                number, "a cell stands to the right of the header; give its column a name, or empty it", lost=True
            )
            continue
        row = dict.fromkeys(names, "") | dict(zip(names, cells, strict=False))
        row.pop("", None)
        yield Row(number, row)


def _text(value: Any) -> str:
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if isinstance(value, datetime):
        return (value.date() if value.time() == time() else value).isoformat()
    if isinstance(value, date | time):
        return value.isoformat()
    text = cell_text(value).strip()
    return re.sub(r"_x([0-9A-Fa-f]{4})_", lambda code: chr(int(code.group(1), 16)), text) if "_x" in text else text
