"""The images of a table, with its cells as typed columns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from xlip.errors import XLIPError
from xlip.sources.cells import number, said, years
from xlip.sources.table_paths import find_images
from xlip.tables.read import read_rows
from xlip.tables.row import Fault, Row

IMAGE_NAMES = ("path", "image", "image_path", "imagepath", "filename", "file", "image_id", "image_index")
"""Names of the column of images where the user gives none; capitals and spaces for underscores make no difference."""
REPORT = "report"
Value = str | int | float


@dataclass(frozen=True)
class Columns:
    """What the columns of a table are."""

    image: str
    report: str
    id: str
    types: Mapping[str, Callable[[str], Value | None]]
    """Column -> what makes a value of its cells: text where one cell or more are no numbers."""


def table_inputs(
    path: Path, refuse: Callable[[str, str], None], image_column: str = "", report_column: str = "", id_column: str = ""
) -> Iterator[tuple[str, Path | bytes, dict[str, Value]]]:
    """(id, image, columns) of every row that names or holds an image; the table is read twice, and streams.

    Every column but that of the images becomes one of its own, of whole numbers, numbers or text as all of its cells
    allow; `age` in years, whatever its unit (`57`, `057Y`, `18 months`). The report's column is called `report`.

    Raises:
        XLIPError: no table, or it lacks a column.
    """
    columns = _survey(path, image_column, report_column, id_column)
    for row in read_rows(path, (columns.image,), pictures=True):
        where = f"{path.name}:{row.line}"
        if isinstance(row, Fault):
            if row.lost:
                refuse(where, row.reason)
            continue
        known = _known(row, columns)
        own = said(row.cells.get(columns.id)) if columns.id else ""
        if data := row.pictures.get(columns.image):
            yield own or said(row.cells[columns.image]) or where, data, known
        elif text := said(row.cells[columns.image]):
            found = find_images(text, path if path.is_dir() else path.parent)
            for name in found.missing:
                refuse(own or name, f"image file not found ({where})")
            for name, file in found.files:
                yield (own or text) if len(found.files) == 1 else name, file, known
        else:
            refuse(own or where, f"no image: column {columns.image} is empty")


def _known(row: Row, columns: Columns) -> dict[str, Value]:
    known: dict[str, Value] = {}
    for name, typed in columns.types.items():
        if name != columns.image and (text := said(row.cells.get(name))):
            value = typed(text)
            if value is not None:
                known[REPORT if name == columns.report else name] = value
    return known


def _survey(path: Path, image_column: str, report_column: str, id_column: str) -> Columns:
    """Go through the table once: which columns it has, and which hold numbers alone."""
    named = tuple(name for name in (image_column, report_column, id_column) if name)
    whole: dict[str, bool] = {}
    real: dict[str, bool] = {}
    ages: dict[str, bool] = {}
    for row in read_rows(path, named):
        if isinstance(row, Fault):
            continue
        for name, cell in row.cells.items():
            text = said(cell)
            if text or name not in whole:
                value = number(text) if text and _plain(text) else None
                whole[name] = whole.get(name, True) and (not text or (value is not None and text.lstrip("-").isdigit()))
                real[name] = real.get(name, True) and (not text or value is not None)
                if name.lower() == "age":
                    ages[name] = ages.get(name, True) and (not text or years(text) is not None)
    image = image_column or _image_column(path, list(whole))
    types: dict[str, Callable[[str], Value | None]] = {
        name: years if ages.get(name) else int if whole[name] else number if real[name] else str for name in whole
    }
    report = report_column or next((name for name in whole if name.lower() == REPORT), "")
    for name in (report, id_column):
        types |= {name: str} if name else {}
    return Columns(image, report, id_column, types)


def _plain(text: str) -> bool:
    """Whether a number is one to compare: `0012` is a code, and `1e5` or `1_000` are none that tables mean."""
    digits = text.lstrip("-")
    return not (len(digits) > 1 and digits[0] == "0" and digits[1].isdigit()) and len(digits) < 16 and "_" not in digits


def _image_column(path: Path, names: list[str]) -> str:
    first = next((row for row in read_rows(path, pictures=True) if isinstance(row, Row)), None)
    pictured = list(first.pictures) if first else []
    names += [name for name in pictured if name not in names]
    plain = {name.lower().replace(" ", "_"): name for name in reversed(names)}
    if found := next((plain[name] for name in IMAGE_NAMES if name in plain), ""):
        return found
    if len(pictured) == 1:
        return pictured[0]
    raise XLIPError(
        f"{path}: no column of images found among {', '.join(names) or 'none'}; name it with --image-column"
    )
