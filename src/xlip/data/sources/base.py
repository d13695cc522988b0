"""What a source yields: studies whose image is still a file, and rows it cannot use."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from xlip.data.study import Study
from xlip.errors import XLIPError


@dataclass(frozen=True, slots=True)
class Candidate:
    """A study without its image, and the file that holds it (None: a report alone, or the image is there already)."""

    study: Study
    file: Path | None = None


@dataclass(frozen=True, slots=True)
class Dropped:
    """A row that cannot be used: where it stands, and why."""

    row: str
    reason: str


class Source(Protocol):
    """One public data set or family: a generator over the files under `root`."""

    def __call__(self, root: Path, **options: Any) -> Iterator[Candidate | Dropped]:
        """Yield every row once, in a fixed order.

        Raises:
            XLIPError: the layout is not the one expected.
        """
        ...


def first_existing(root: Path, *patterns: str) -> Path:
    """The first file under `root` that matches one of the glob patterns.

    Raises:
        XLIPError: none does.
    """
    for pattern in patterns:
        found = sorted(root.glob(pattern))
        if found:
            return found[0]
    raise XLIPError(f"{root}: expected {' or '.join(patterns)}, found neither; is --root the data set's own folder?")


def read_table(path: Path, required: tuple[str, ...] = ()) -> Iterator[tuple[int, dict[str, str]]]:
    """Rows of a CSV file with their line numbers (the header is line 1).

    Raises:
        XLIPError: the file is missing, or lacks a required column.
    """
    if not path.is_file():
        raise XLIPError(f"{path}: expected a CSV file, found none")
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as stream:
        reader = csv.DictReader(stream)
        for column in required:
            if column not in (reader.fieldnames or ()):
                raise XLIPError(f"{path}: no column {column!r}; its columns are {', '.join(reader.fieldnames or ())}")
        for row in reader:
            yield reader.line_num, {key: value or "" for key, value in row.items() if isinstance(key, str)}
