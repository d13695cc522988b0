"""What a source yields: studies whose image is still a file, and rows it cannot use."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol, cast

from xlip.errors import XLIPError
from xlip.files import is_local, open_path, reading
from xlip.study.parquet import is_study_table
from xlip.study.record import Box, Study
from xlip.tables.arrow import data_set_files
from xlip.tables.read import has_table_suffix, read_rows
from xlip.tables.row import Fault


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
    whole_report: bool = False
    """Whether the study's report is a whole text as it was written: `prepare` cuts it into sections."""
    look: Callable[[Study], Study] | None = None
    """Looks at the study once its image is in storable form; must pickle. An XLIPError is a drop."""
    report_row: str = ""
    """The row of its report, where that is another than its own: it is named too where the study is dropped."""
    known: tuple[str, ...] = ()
    """Names and numbers that its row says of the patient and of staff: where reports are de-identified, they go."""

    def __reduce__(self) -> tuple[Any, ...]:
        """A local path goes to a worker process as a plain string: a `Path` costs as much as the rest.

        One in an archive too: the other process opens the archive once, not for every file.
        """
        text = self.file is not None and (isinstance(self.file, Path) or "::" in str(self.file))
        file = str(self.file) if text else self.file
        return Candidate, (self.study, file, *self[2:])


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
IMAGE_SUFFIXES = frozenset({"dcm", "dicom", "png", "jpg", "jpeg"})
"""What the images of public sets and of their conversions are called."""


class Source(Protocol):
    """One public data set or family: a generator over the files under `root`."""

    def __call__(self, root: Path, **options: Any) -> Iterator[Row]:
        """Yield every row once, in a fixed order.

        Raises:
            XLIPError: the layout is not the one expected.
        """
        ...


def first_existing(root: Path, *patterns: str) -> Path:
    """The first file that matches one of the glob patterns, in `root` or up to two folders below: sets are often
    unpacked into a folder of their own.

    Raises:
        XLIPError: none does; the message names what was searched.
    """
    for above in ("", "*/", "*/*/"):
        for pattern in patterns:
            found = sorted(root.glob(above + pattern))
            if found:
                return found[0]
    raise not_found(root, *patterns)


def not_found(root: Path, *patterns: str) -> XLIPError:
    """What to raise where none of the patterns is there: it names the places that were searched."""
    folders = sorted(f"{path.name}/" for path in root.iterdir() if path.is_dir())[:5] if root.is_dir() else []
    below = f" and two folders down ({', '.join(folders)})" if folders else ""
    return XLIPError(
        f"{root}: expected {' or '.join(patterns)}, found none; searched this folder{below}; is --root the folder of "
        "the data set?"
    )


def image_folders(base: Path, *, test: bool = False) -> list[Path]:
    """The folders in `base` that hold images of the training part, or of the test part; none of masks."""
    folders = sorted(path for path in base.iterdir() if path.is_dir() and "mask" not in path.name.lower())
    return [path for path in folders if test == ("test" in path.name.lower() or path.name == "stage_2_images")]


def image_files(*folders: Path) -> dict[str, Path]:
    """Name without suffix, in lower case -> image file, for every image in the folders at any depth; the first wins."""
    found: dict[str, Path] = {}
    for folder in folders:
        for path, file in sorted(files_under(folder)) if folder.is_dir() else ():
            name = path.rpartition("/")[2]
            stem, _, suffix = name.rpartition(".")
            if suffix.lower() in IMAGE_SUFFIXES:
                found.setdefault(stem.lower(), file if isinstance(file, Path) else Path(file))
    return found


def read_table(
    path: Path, required: tuple[str, ...] = (), faults: list[Row] | None = None
) -> Iterator[tuple[int, dict[str, str]]]:
    """Rows of a table of any format (`xlip.tables.read`) with their line numbers (the header is line 1).

    Args:
        path: the table.
        required: columns that must be there.
        faults: gets a drop for every row that does not fit the header, and a notice for every repair.

    Raises:
        XLIPError: the file is missing or not readable, lacks a required column, or, where `faults` is None, has
            a row that does not fit.
    """
    for row in read_rows(path, required):
        if not isinstance(row, Fault):
            yield row.line, _Cells(row.cells, path)
        elif faults is not None:
            faults.append((Dropped if row.lost else Noticed)(f"{path.name}:{row.line}", row.reason))
        elif row.lost:
            raise XLIPError(f"{path}: line {row.line}: {row.reason}")


class _Cells(dict[str, str]):
    """The cells of a row; asked for a column that the table lacks, they name both."""

    __slots__ = ("path",)

    def __init__(self, cells: Mapping[str, str], path: Path) -> None:
        super().__init__(cells)
        self.path = path

    def __missing__(self, column: str) -> str:
        raise XLIPError(
            f"{self.path}: no column {column!r}; its columns are {', '.join(self)[:200]}; copy or download it again"
        )


def text_of(file: Path, errors: str = "strict") -> str:
    """A text file in UTF-8.

    Raises:
        XLIPError: it is in another encoding (where `errors` is strict), or cannot be read.
    """
    with reading(file, "copy or download it again"):
        return file.read_text("utf-8", errors=errors)


def optional_table(root: Path, *patterns: str, faults: list[Row] | None = None) -> Iterator[tuple[int, dict[str, str]]]:
    """Rows of the first table under `root` that matches; none where none does."""
    found = next((file for pattern in patterns for file in sorted(root.glob(pattern))), None)
    return iter(()) if found is None else read_table(found, faults=faults)


def is_table(data: str) -> bool:
    """Whether `data` is a table of one's own (a file, or the folder of a Hugging Face data set), not a prepared set."""
    path = open_path(data)
    if has_table_suffix(data):
        return not (data.lower().endswith(".parquet") and path.is_file() and is_study_table(data))
    return path.is_dir() and bool(data_set_files(path)) and not is_study_table(data)


def relative(file: Path, root: Path) -> str:
    """Where a file stands under the root of its set, with forward slashes."""
    if not is_local(root):
        inner, above = (str(one.path).strip("/") for one in cast("Any", (file, root)))
        return inner[len(above) :].strip("/")
    path, base = file.as_posix(), root.as_posix().rstrip("/") + "/"
    return path[len(base) :] if path.startswith(base) else file.relative_to(root).as_posix()


def files_under(root: Path) -> Iterator[tuple[str, Path | str]]:
    """Every file under `root` at any depth that is not hidden: where it stands (forward slashes), and its path.

    Local paths are strings: making a `Path` of each would take half of the time.

    Raises:
        OSError: the root, or a folder in it, is not there or may not be read; nothing is left out without an error.
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
