"""What a source yields: studies whose image is still a file, and rows it cannot use."""

from __future__ import annotations

import csv
import gzip
import io
import math
import os
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple, Protocol, cast

from xlip.errors import XLIPError
from xlip.files import is_local
from xlip.study.record import Box, Study


class Candidate(NamedTuple):
    """A study without its image, and how to get the rest: `prepare` does that in its worker processes."""

    study: Study
    file: Path | str | None = None
    """The image file; None: a report alone, or `study.image` is there already."""
    complete: Callable[[Study], Study] | None = None
    """Reads or makes what is costly (a report file, a phantom); must pickle. An XLIPError is a drop."""
    boxes: tuple[Box, ...] = ()
    """Boxes in pixels of `frame`; `prepare` turns them into shares of the image."""
    frame: tuple[int, int] | None = None
    """Width and height that `boxes` count in; None: those of the image file."""

    def __reduce__(self) -> tuple[Any, ...]:
        """A local path goes to a worker process as a plain string: a `Path` costs as much as the rest."""
        file = str(self.file) if isinstance(self.file, Path) else self.file
        return Candidate, (self.study, file, self.complete, self.boxes, self.frame)


@dataclass(frozen=True, slots=True)
class Dropped:
    """A row that cannot be used: where it stands, and why."""

    row: str
    reason: str


@dataclass(frozen=True, slots=True)
class Noticed:
    """A row that is kept although something in it was guessed, repaired or lost: where it stands, and what.

    It stands beside the `Candidate` of its row. Of `reason`, the words before the first `: ` name the kind, under which
    notices are counted together (see `xlip.notices`, for what comes to light only when an image or a report is read).
    """

    row: str
    reason: str
    file: str = ""
    """The file, relative to the root, where `row` does not name it."""


Row = Candidate | Dropped | Noticed


class Source(Protocol):
    """One public data set or family: a generator over the files under `root`."""

    def __call__(self, root: Path, **options: Any) -> Iterator[Row]:
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
    """Rows of a CSV file (`.csv`, `.csv.gz`) with their line numbers (the header is line 1).

    A column without a name (the index that pandas writes) is not read: '' asks for no column.

    Raises:
        XLIPError: the file is missing or not readable, or lacks a required column.
    """
    if not path.is_file():
        raise XLIPError(f"{path}: expected a CSV file, found none")
    try:
        with path.open("rb") as raw, _unpacked(path.name, raw) as stream:
            text = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="replace", newline="")
            reader = csv.DictReader(text)
            fields = [name.strip() for name in reader.fieldnames or ()]
            reader.fieldnames = fields
            for column in required:
                if column not in fields:
                    raise XLIPError(f"{path}: no column {column!r}; its columns are {', '.join(fields)}")
            for row in reader:
                yield reader.line_num, {key: value or "" for key, value in row.items() if key}
    except (OSError, EOFError, zlib.error, csv.Error) as error:
        raise XLIPError(f"{path}: not readable as CSV ({error}); copy or download it again") from error


@contextmanager
def _unpacked(name: str, raw: IO[bytes]) -> Iterator[IO[bytes]]:
    if not name.endswith(".gz"):
        yield raw
        return
    with gzip.GzipFile(fileobj=raw) as stream:
        yield cast("IO[bytes]", stream)


def optional_table(root: Path, *patterns: str) -> Iterator[tuple[int, dict[str, str]]]:
    """Rows of the first table under `root` that matches; none where none does."""
    found = next((file for pattern in patterns for file in sorted(root.glob(pattern))), None)
    return iter(()) if found is None else read_table(found)


def relative(file: Path, root: Path) -> str:
    """Where a file stands under the root of its set, with forward slashes."""
    path, base = file.as_posix(), root.as_posix().rstrip("/") + "/"
    return path[len(base) :] if path.startswith(base) else file.relative_to(root).as_posix()


def files_under(root: Path) -> Iterator[tuple[str, Path | str]]:
    """Every file under `root` at any depth that is not hidden: where it stands (forward slashes), and its path.

    Local paths are strings: making a `Path` of each would take half of the time.

    Raises:
        OSError: the root, or a folder in it, is not there or may not be read; nothing is left out in silence.
    """
    if not is_local(root):
        found = ((relative(file, root), file) for file in root.rglob("*") if not file.name.startswith("."))
        yield from ((path, file) for path, file in found if file.is_file())
        return
    for folder, _, names in os.walk(root, onerror=_raise):  # a fifth of the cost of `rglob`: no file is asked
        here = Path(folder)
        inside, base = "" if here == root else relative(here, root) + "/", f"{here}{os.sep}"
        yield from ((inside + name, base + name) for name in names if not name.startswith("."))


def _raise(error: OSError) -> None:
    raise error


def images_under(root: Path, *folders: str) -> dict[str, Path]:
    """File name -> path, for every file in the folders (glob patterns) under `root`; the first of a name wins."""
    found: dict[str, Path] = {}
    for folder in folders:
        for file in sorted(root.glob(f"{folder}/*")):
            found.setdefault(file.name, file)
    return found


def sex_of(text: str) -> str:
    """`F`, `M`, or nothing where the text says neither."""
    return {"f": "F", "m": "M"}.get(text.strip().lower()[:1], "")


def years(text: str) -> float | None:
    """Age in years from `57`, `057Y`, `18 months`, `45yrs` ...; None where the text has none."""
    match = re.match(r"\s*(\d+(?:\.\d+)?)\s*([a-z]?)", text, re.IGNORECASE)
    if not match:
        return None
    unit = {"m": 12.0, "w": 52.18, "d": 365.25}.get(match.group(2).lower(), 1.0)
    return round(float(match.group(1)) / unit, 2)


def number(text: str) -> float | None:
    """A finite number; None where the cell holds none."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def spacing_of(row: Mapping[str, str], vertical: str, horizontal: str) -> tuple[float, float] | None:
    """Pixel spacing (rows, columns; millimetres) from two columns of a table."""
    pair = number(row.get(vertical, "")), number(row.get(horizontal, ""))
    return (pair[0], pair[1]) if pair[0] and pair[1] and min(pair[0], pair[1]) > 0 else None
