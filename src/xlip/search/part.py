"""A part of an index: matrices of half floats, a table of ids and columns, and thumbnails one after another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xlip.errors import XLIPError
from xlip.files import reading, whole_file, writing
from xlip.search.manifest import REAL, TEXT, WHOLE, PartEntry
from xlip.search.store import FINDABLE, IMAGES, REPORTS, Half, Records

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

ROWS_PER_GROUP = 512
"""Of the table: what is read to show one hit."""
ID = "id"
OWN = (ID, "has_image", "has_report", "thumb_start", "thumb_bytes")
"""Columns of ours in the table; those of the user have other names."""
AGAIN = "make the index again with `xlip embed`"


@dataclass(frozen=True)
class Part:
    """A part that can be read; its matrices are mapped as it is opened, so that another process may replace it."""

    folder: Path
    entry: PartEntry
    width: int
    vectors: Mapping[str, Half]
    """IMAGES and, where some row has one, REPORTS -> (rows, E), mapped."""
    gone: np.ndarray[Any, np.dtype[np.int64]]

    @classmethod
    def open(cls, folder: Path, entry: PartEntry, width: int) -> Part:
        """A part in the folder of an index.

        Raises:
            XLIPError: a file is missing, cut short or of another shape.
        """
        vectors: dict[str, Half] = {}
        for find in FINDABLE[: 1 + entry.has_reports]:
            file = _file(folder, entry.name, f"{find}.npy")
            with reading(file, AGAIN):
                matrix = np.load(file, mmap_mode="r", allow_pickle=False)
                if matrix.dtype != np.float16 or matrix.shape != (entry.rows, width):
                    raise ValueError(f"expected half floats {(entry.rows, width)}, got {matrix.dtype} {matrix.shape}")
            vectors[find] = matrix
        gone = np.zeros(0, np.int64)
        if entry.removed:
            with reading(folder / "parts" / entry.removed, AGAIN):
                gone = np.load(folder / "parts" / entry.removed, allow_pickle=False)
        return cls(folder, entry, width, vectors, gone)

    @cached_property
    def table(self) -> pq.ParquetFile:
        """The table of ids and columns, opened once."""
        import pyarrow.parquet as pq

        file = _file(self.folder, self.entry.name, "parquet")
        with reading(file, AGAIN):
            found = pq.ParquetFile(file, memory_map=True)
            if found.metadata.num_rows != self.entry.rows:
                raise ValueError(f"expected {self.entry.rows} rows, got {found.metadata.num_rows}")
        return found

    @cached_property
    def live(self) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """(rows,): which rows count."""
        live = np.ones(self.entry.rows, bool)
        live[self.gone] = False
        return live

    def has(self, find: str) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """(rows,): which rows count and have a vector of this kind."""
        if find == REPORTS and REPORTS not in self.vectors:
            return np.zeros(self.entry.rows, bool)
        column = self.read([OWN[1 + FINDABLE.index(find)]]).column(0)
        found: np.ndarray[Any, np.dtype[np.bool_]] = column.to_numpy(zero_copy_only=False)
        return found & self.live

    def read(self, names: Sequence[str]) -> pa.Table:
        """Columns of the table that this part has."""
        with reading(self.folder / self.entry.name, AGAIN):
            there = self.table.schema_arrow.names
            return self.table.read([name for name in names if name in there])

    def row(self, number: int) -> dict[str, Any]:
        """One row of the table; what is unknown is not in it."""
        with reading(self.folder / self.entry.name, AGAIN):
            group = self.table.read_row_group(number // ROWS_PER_GROUP)
            (found,) = group.slice(number % ROWS_PER_GROUP, 1).to_pylist()
        return {name: value for name, value in found.items() if value is not None}

    def thumbnail(self, row: Mapping[str, Any]) -> bytes:
        """The picture of a row of `row`."""
        if not row["thumb_bytes"]:
            return b""
        file = _file(self.folder, self.entry.name, "thumbnails")
        with reading(file, AGAIN), file.open("rb") as stream:
            stream.seek(row["thumb_start"])
            return stream.read(row["thumb_bytes"])

    def records(self, start: int, stop: int, names: Sequence[str]) -> Records:
        """The rows that count of a stretch, as they were appended."""
        live = np.flatnonzero(self.live[start:stop]) + start
        rows = self.read([*OWN, *names]).slice(start, stop - start).take(live - start).to_pylist()
        none = np.zeros((len(live), self.width), np.float16)
        return Records(
            [row[ID] for row in rows],
            self.vectors[IMAGES][live],
            self.vectors[REPORTS][live] if REPORTS in self.vectors else none,
            [{name: row[name] for name in names if row.get(name) is not None} for row in rows],
            [self.thumbnail(row) for row in rows],
        )


class PartWriter:
    """A part that grows; it is whole on the disk once `close` returns, and counts once a manifest lists it."""

    def __init__(self, folder: Path, name: str, columns: Mapping[str, str]) -> None:
        self.folder, self.name, self.columns = folder, name, dict(columns)
        self._kept: list[Records] = []

    def add(self, records: Records) -> None:
        """Take rows; they stay in memory until `close`."""
        self._kept.append(records)

    def close(self) -> PartEntry:
        """Write the files.

        Raises:
            XLIPError: the disk is full, or the folder may not be written.
        """
        with writing(self.folder):
            (self.folder / "parts").mkdir(exist_ok=True)
            starts, sizes = self._write_thumbnails()
            for find in FINDABLE:
                if find == IMAGES or self._has(find).any():
                    with whole_file(_file(self.folder, self.name, f"{find}.npy")) as stream:
                        np.save(stream, np.concatenate([getattr(one, find).astype(np.float16) for one in self._kept]))
            self._write_table(starts, sizes)
        rows = sum(len(one.ids) for one in self._kept)
        return PartEntry(self.name, rows, bool(self._has(REPORTS).any()))

    def _has(self, find: str) -> np.ndarray[Any, np.dtype[np.bool_]]:
        return np.concatenate([getattr(one, find).any(1) for one in self._kept])

    def _write_thumbnails(self) -> tuple[list[int], list[int]]:
        pictures = [picture for one in self._kept for picture in one.thumbnails]
        sizes = [len(picture) for picture in pictures]
        starts = [0, *np.cumsum(sizes).tolist()][: len(sizes)]
        if any(sizes):
            with whole_file(_file(self.folder, self.name, "thumbnails")) as stream:
                stream.writelines(pictures)
        return starts, sizes

    def _write_table(self, starts: list[int], sizes: list[int]) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        rows = [row for one in self._kept for row in one.columns]
        columns: dict[str, pa.Array] = {
            ID: pa.array([id_ for one in self._kept for id_ in one.ids], pa.string()),
            "has_image": pa.array(self._has(IMAGES)),
            "has_report": pa.array(self._has(REPORTS)),
            "thumb_start": pa.array(starts, pa.int64()),
            "thumb_bytes": pa.array(sizes, pa.int32()),
        }
        for name, kind in self.columns.items():
            values = [row.get(name) for row in rows]
            if any(value is not None for value in values):
                columns[name] = pa.array(map(_CAST[kind], values), arrow_types()[kind])
        with whole_file(_file(self.folder, self.name, "parquet")) as stream:
            pq.write_table(pa.table(columns), stream, row_group_size=ROWS_PER_GROUP, compression="zstd")


def arrow_types() -> dict[str, pa.DataType]:
    """Type of a column in a manifest -> in Arrow."""
    import pyarrow as pa

    return {TEXT: pa.string(), WHOLE: pa.int64(), REAL: pa.float64()}


def files_of(entry: PartEntry) -> set[str]:
    """Names that a part may have in the folder `parts`."""
    endings = (*(f"{find}.npy" for find in FINDABLE), "parquet", "thumbnails")
    return {*(f"{entry.name}.{ending}" for ending in endings), *([entry.removed] if entry.removed else [])}


def _file(folder: Path, name: str, ending: str) -> Path:
    return folder / "parts" / f"{name}.{ending}"


_CAST = {
    TEXT: lambda value: None if value is None else str(value),
    WHOLE: lambda value: value,
    REAL: lambda value: None if value is None else float(value),
}


def check_names(names: Sequence[str]) -> dict[str, str]:
    """The user's names of columns -> those in an index: ours are taken, and capitals alone make no difference.

    Raises:
        XLIPError: a name that no table can have.
    """
    taken, found = {"row", "score", *OWN}, {}
    for name in names:
        if not name.strip() or len(name) > 200 or "\0" in name:
            raise XLIPError(f"column {name[:40]!r}: expected a name of 1 to 200 characters; rename it")
        free, number = name, 2
        while free.lower() in taken:
            free, number = f"{name}_{number}", number + 1
        taken.add(free.lower())
        found[name] = free
    return found
