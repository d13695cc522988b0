"""What reading a table yields: its rows, and what was wrong with them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from xlip.errors import XLIPError

_LONGEST_HEADER = 500
"""Characters of the columns in a message."""
INVISIBLE: dict[int, str | None] = {
    0xA0: " ",
    **dict.fromkeys((0xAD, *range(0x200B, 0x2010), *range(0x202A, 0x202F), 0x2060, 0xFEFF)),
}
"""Characters without width (and marks of the direction of writing), which copying from a page or a PDF leaves, are
taken out by it; the space that breaks no line becomes a space."""
_NO_PICTURES: Mapping[str, bytes] = {}


class Row(NamedTuple):
    """One row: column -> text, '' where there is none."""

    line: int
    """Of a text file its first line, of a sheet or a data set the number of the row; the header is 1 where it is."""
    cells: dict[str, str]
    pictures: Mapping[str, bytes] = _NO_PICTURES
    """Column -> the bytes of an image that stands in the table itself."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What was wrong at a line: the row is lost, or was read after a repair or a guess."""

    line: int
    reason: str
    lost: bool


def checked_header(path: Path, names: list[str], required: tuple[str, ...]) -> list[str]:
    """The names of the columns.

    Raises:
        XLIPError: a required one is missing or stands there twice.
    """
    for column in required:
        if column not in names:
            raise XLIPError(
                f"{path}: no column {column!r}; its columns are {', '.join(names)[:_LONGEST_HEADER]}; name one of "
                "them, and leave no line above the header"
            )
    return names


def cell_text(value: Any) -> str:
    """A value as the text of a cell: '' for nothing, whole numbers without a point, lists as JSON."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):  # an image without its bytes
        return str(value.get("path") or "") if {"path", "bytes"} & value.keys() else json.dumps(value, default=str)
    if isinstance(value, list):
        return json.dumps(value, default=str, ensure_ascii=False)
    return str(value)
