"""A prepared set by row numbers, read a row group at a time from where it lies: no copy of the whole is made."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from xlip.batches.group_cache import GroupCache
from xlip.files import is_local, reading
from xlip.study.parquet import open_parquet, parquet_files

Ints = np.ndarray[Any, np.dtype[np.int64]]
AT_ONCE = 16
"""Row groups that are asked of another machine's storage at the same time: an answer takes long, and many no longer."""
GONE = "is its storage still there? else copy or prepare it again"


class RowGroups:
    """The rows of a set's files, numbered through.

    It holds the files' footers alone, and so is sent to worker processes as it is.
    """

    def __init__(self, path: str, columns: Sequence[str], cache: GroupCache) -> None:
        """Args:
            path: a folder or file that `xlip prepare` wrote, or its URL.
            columns: Parquet columns that `row` shows; those that the set lacks are left out.
            cache: where row groups with these columns are kept.

        Raises:
            XLIPError: no such set, or one that is damaged.
        """
        self.path, self._cache = path, cache
        self._files = parquet_files(path)
        self._footers = [open_parquet(file).metadata for file in self._files]
        names = [footer.schema.to_arrow_schema().names for footer in self._footers]
        self.column_names = [name for name in names[0] if all(name in others for others in names)]
        self._columns = [name for name in columns if name.partition(".")[0] in self.column_names]
        self._places = [(file, group) for file, one in enumerate(self._footers) for group in range(one.num_row_groups)]
        counts = [self._footers[file].row_group(group).num_rows for file, group in self._places]
        self._starts: Ints = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        with reading(path, GONE):
            state = [(str(file), one.st_size, one.st_mtime) for file in self._files for one in [file.stat()]]
        self._key = hashlib.sha256(repr((state, self._columns)).encode()).hexdigest()[:16]

    def __len__(self) -> int:
        return int(self._starts[-1])

    @property
    def groups(self) -> int:
        """How many row groups there are."""
        return len(self._places)

    def group_of(self, rows: Ints) -> Ints:
        """The row group of each row."""
        return np.searchsorted(self._starts, rows, "right").astype(np.int64) - 1

    def bytes_of(self, groups: Iterable[int]) -> int:
        """What the columns of some row groups take in the files."""
        total = 0
        for file, group in (self._places[number] for number in groups):
            found = self._footers[file].row_group(group)
            total += sum(found.column(number).total_compressed_size for number in self._leaves(file))
        return total

    def row(self, number: int) -> dict[str, Any]:
        """A row by name of its columns.

        Raises:
            XLIPError: its row group cannot be read.
        """
        group = int(self.group_of(np.array([number]))[0])
        found: dict[str, Any] = self._group(group).slice(number - int(self._starts[group]), 1).to_pylist()[0]
        return found

    def fetch(self, rows: Sequence[int]) -> None:
        """Have the row groups of some rows read side by side, where the storage is another machine's.

        Raises:
            XLIPError: one of them cannot be read.
        """
        groups = np.unique(self.group_of(np.array(rows, np.int64))).tolist()
        missing = [] if is_local(self._files[0]) else [one for one in groups if not self._cache.holds(self._name(one))]
        if len(missing) > 1:
            with ThreadPoolExecutor(AT_ONCE) as threads:
                for _ in threads.map(self._group, missing):
                    pass

    def read(self, columns: Sequence[str], rows: Ints | None = None) -> Iterator[Any]:
        """Some columns of some rows, a `pyarrow.Table` for each row group that has any.

        Args:
            columns: those that the set lacks are left out.
            rows: none before a lower one; default: all.

        Raises:
            XLIPError: one of them cannot be read.
        """
        wanted = [name for name in columns if name.partition(".")[0] in self.column_names]
        groups = range(self.groups) if rows is None else np.unique(self.group_of(rows)).tolist()
        file, parquet = -1, None
        for group in groups:
            if self._places[group][0] != file:
                file = self._places[group][0]
                parquet = open_parquet(self._files[file], self._footers[file])
            with reading(self._files[file], GONE):
                assert parquet is not None
                table = parquet.read_row_group(self._places[group][1], columns=wanted, use_threads=False)
            start, end = self._starts[group : group + 2]
            yield table if rows is None else table.take(rows[(rows >= start) & (rows < end)] - start)

    def _group(self, group: int) -> Any:
        return self._cache.batch(self._name(group), lambda: self._read(group))

    def _read(self, group: int) -> Any:
        file, inside = self._places[group]
        parquet = open_parquet(self._files[file], self._footers[file])
        with reading(self._files[file], GONE):
            return parquet.read_row_group(inside, columns=self._columns, use_threads=False)

    def _name(self, group: int) -> str:
        return f"{self._key}-{group}"

    def _leaves(self, file: int) -> list[int]:
        """Numbers of the Parquet columns that belong to the columns of a row."""
        schema = self._footers[file].schema
        paths = [schema.column(number).path for number in range(len(schema))]
        return [
            number
            for number, path in enumerate(paths)
            if any(path == name or path.startswith(f"{name}.") for name in self._columns)
        ]
