"""What reading a table yields: its rows, and what was wrong with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

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
