"""An index on the local disk: memory-mapped half floats, searched exactly."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xlip.errors import XLIPError
from xlip.files import write_whole, writing
from xlip.runtime.encoder import Array
from xlip.search.manifest import (
    NAME,
    TEXT,
    Manifest,
    PartEntry,
    locked,
    read_manifest,
    typed,
    write_manifest,
)
from xlip.search.part import ID, OWN, Part, PartWriter, arrow_types, files_of
from xlip.search.scan import best, products
from xlip.search.store import FINDABLE, IMAGES, Facts, Hit, Records
from xlip.search.where import checked, matching

if TYPE_CHECKING:
    import pyarrow as pa

LARGEST_PART = 1 << 17
"""Rows that a compaction writes into one part: bounds its memory."""
FEW = 4
"""Where a filter leaves less than one in so many rows, these are copied before they are multiplied."""
QUERIES = 16
"""At a time: bounds the memory of their products."""
Flags = np.ndarray[Any, np.dtype[np.bool_]]


@dataclass
class Index:
    """A folder with vectors, ids, columns and thumbnails (docs/howto/search.md has its format).

    What was opened stays as it is while others write; `open` again to see their changes.
    """

    folder: Path
    manifest: Manifest
    parts: list[Part]
    _columns: dict[str, pa.ChunkedArray] = field(default_factory=dict, repr=False)
    _flags: dict[str, Flags] = field(default_factory=dict, repr=False)

    @classmethod
    def open(cls, folder: Path | str) -> Index:
        """An index that is there.

        Raises:
            XLIPError: nothing is there, or it is damaged.
        """
        place = Path(folder)
        manifest = read_manifest(place)
        return cls(place, manifest, [Part.open(place, entry, manifest.facts.width) for entry in manifest.parts])

    @classmethod
    def create(cls, folder: Path | str, facts: Facts) -> Index:
        """An index at a place: an empty one, or the one that is there, for more vectors of the same model.

        Raises:
            XLIPError: its vectors are of another checkpoint, or something else lies in the folder.
        """
        place = Path(folder)
        if (place / NAME).is_file():
            found = cls.open(place)
            found.facts.check(facts, place)
            return found
        if place.exists() and (not place.is_dir() or any(one.name[0] != "." for one in place.iterdir())):
            raise XLIPError(f"{place}: expected an index or an empty place, found something else; choose another --out")
        with locked(place):
            write_manifest(place, Manifest(facts))
        return cls.open(place)

    @property
    def facts(self) -> Facts:
        """What all vectors have in common."""
        return self.manifest.facts

    @property
    def identity(self) -> str:
        """Of the checkpoint that made the vectors."""
        return self.facts.identity

    @property
    def columns(self) -> Mapping[str, str]:
        """Column -> text, whole or real."""
        return self.manifest.columns

    def __len__(self) -> int:
        return self.manifest.rows()

    def ids(self) -> list[str]:
        """Ids of the rows that count, in their order."""
        import pyarrow as pa

        return [] if not self.parts else self._column(ID).filter(pa.array(self._live())).to_pylist()

    def append(self, records: Records) -> None:
        """Add rows as one part, all or none.

        Raises:
            XLIPError: as `Store.append`; another process writes; or the disk is full.
        """
        records.check(self.facts.width, self.folder)
        if not len(records.ids):
            return
        with self._writing():
            if twice := set(records.ids) & set(self.ids()):
                raise XLIPError(f"{self.folder}: id {min(twice)!r} is in the index already; remove it first")
            types = typed(self.columns, list(records.columns), self.folder)
            writer = PartWriter(self.folder, self._new_name(), types)
            writer.add(records)
            self._become(self.manifest.next(columns=types, parts=(*self.manifest.parts, writer.close())))

    def remove(self, ids: Iterable[str]) -> int:
        """Take rows out of every answer; returns how many were there. `compact` takes them off the disk.

        Raises:
            XLIPError: another process writes, or the disk is full.
        """
        wanted, count = set(ids), 0
        with self._writing():
            entries: list[PartEntry] = []
            for part in self.parts:
                names = part.read([ID]).column(0).to_pylist()
                found = np.array([row for row, id_ in enumerate(names) if id_ in wanted and part.live[row]], np.int64)
                count += len(found)
                entries.append(self._without(part, found) if len(found) else part.entry)
            if count:
                self._become(self.manifest.next(parts=tuple(entries)))
        return count

    def compact(self) -> None:
        """Write the rows that count into parts of `LARGEST_PART` rows; answers stay the same, row numbers may not.

        Raises:
            XLIPError: another process writes, or the disk is full (the index then stays as it was).
        """
        with self._writing():
            kept, ahead = self._settled()
            entries = [part.entry for part in kept]
            for number, records in enumerate(self._stretches(ahead)):
                writer = PartWriter(self.folder, f"{self._new_name()}-{number}", self.columns)
                for one in records:
                    writer.add(one)
                entries.append(writer.close())
            self._become(self.manifest.next(parts=tuple(entries)))
            self._sweep()

    def nearest(
        self, queries: Array, top: int, where: str = "", find: str = IMAGES, without: Sequence[str] = ()
    ) -> list[list[Hit]]:
        """See `Store.nearest`; exact: every row that fulfils the filter is compared.

        Args:
            queries: (q, E) float32.
            top: hits of each.
            where: such as `view = 'PA' and age > 60`; '' for all rows.
            find: IMAGES or REPORTS.
            without: ids that are left out of the answers.

        Raises:
            XLIPError: `where` is no filter over the columns, or an argument is not as described.
        """
        if find not in FINDABLE:
            raise XLIPError(f"find: expected one of {', '.join(FINDABLE)}, got {find!r}")
        if top < 1 or queries.ndim != 2 or queries.shape[1] != self.facts.width or not np.isfinite(queries).all():
            raise XLIPError(
                f"{self.folder}: expected top >= 1 and finite queries (q, {self.facts.width}), got top {top} and "
                f"{queries.shape}"
            )
        wanted = self.wanted(where, find)
        for id_ in without:
            row = self._row_of(id_)
            if row is not None and wanted[row]:
                wanted = wanted.copy()
                wanted[row] = False
        answers: list[list[Hit]] = []
        for start in range(0, len(queries), QUERIES):
            scores = self._scores(np.asarray(queries[start : start + QUERIES], np.float32), wanted, find)
            answers += [[self._hit(int(row), float(one[row])) for row in best(one, top)] for one in scores]
        return answers

    def wanted(self, where: str, find: str = IMAGES) -> Flags:
        """(rows,): which rows count, have a vector to be found by, and fulfil a filter.

        Raises:
            XLIPError: `where` is no filter over the columns.
        """
        if find not in self._flags:
            self._flags[find] = np.concatenate([np.zeros(0, bool), *(part.has(find) for part in self.parts)])
        there = self._flags[find]
        if not where:
            return there
        condition = checked(where, [ID, *self.columns])
        if not self.parts:
            return there
        return there & matching(condition, self._table(condition.columns))

    def vector(self, id_: str, find: str = IMAGES) -> Array | None:
        """The stored vector (E,) of a row; None where it has none."""
        part, row = self._place(id_)
        if part is None or find not in part.vectors or not part.vectors[find][row].any():
            return None
        found: Array = part.vectors[find][row].astype(np.float32)
        return found

    def thumbnail(self, id_: str) -> bytes | None:
        """The picture of a row; None where there is none."""
        part, row = self._place(id_)
        return None if part is None else part.thumbnail(part.row(row)) or None

    def _scores(self, queries: Array, wanted: Flags, find: str) -> Array:
        """(q, rows) products, minus infinity where a row is not wanted."""
        scores = np.full((len(queries), len(wanted)), -np.inf, np.float32)
        for part, start in zip(self.parts, self._starts(), strict=True):
            flags = wanted[start : start + part.entry.rows]
            rows = np.flatnonzero(flags)
            if not len(rows):
                continue
            here = scores[:, start : start + part.entry.rows]
            if len(rows) * FEW < len(flags):
                here[:, rows] = products(part.vectors[find][rows], queries)
            else:
                found = products(part.vectors[find], queries)
                here[:, rows] = found[:, rows]
        return scores

    def _hit(self, number: int, score: float) -> Hit:
        part, row = self._part_of(number)
        known = part.row(row)
        return Hit(number, known[ID], score, {name: value for name, value in known.items() if name not in OWN})

    def _starts(self) -> list[int]:
        return [0, *np.cumsum([part.entry.rows for part in self.parts]).tolist()][: len(self.parts)]

    def _part_of(self, number: int) -> tuple[Part, int]:
        starts = self._starts()
        place = int(np.searchsorted(starts, number, "right")) - 1
        return self.parts[place], number - starts[place]

    def _place(self, id_: str) -> tuple[Part | None, int]:
        number = self._row_of(id_)
        return (None, 0) if number is None else self._part_of(number)

    def _row_of(self, id_: str) -> int | None:
        """The row of an id that counts."""
        import pyarrow.compute as pc

        if not self.parts:
            return None
        found = np.flatnonzero(pc.equal(self._column(ID), id_).to_numpy())
        return next((int(row) for row in found if self._live()[row]), None)

    def _live(self) -> Flags:
        return np.concatenate([part.live for part in self.parts])

    def _column(self, name: str) -> pa.ChunkedArray:
        """A column of all parts in the type of the manifest, read once."""
        import pyarrow as pa

        if name not in self._columns:
            kind = arrow_types()[self.columns.get(name, TEXT)]
            pieces: list[pa.Array] = []
            for part in self.parts:
                table = part.read([name])
                found = table.column(0).cast(kind) if table.num_columns else pa.nulls(part.entry.rows, kind)
                pieces += found.chunks if isinstance(found, pa.ChunkedArray) else [found]
            self._columns[name] = pa.chunked_array(pieces, kind)
        return self._columns[name]

    def _table(self, names: Sequence[str]) -> pa.Table:
        import pyarrow as pa

        # A filter without a column, such as `true`, still has as many rows as the index.
        return pa.table({name: self._column(name) for name in names or [ID]})

    def _writing(self) -> _Writing:
        return _Writing(self)

    def _become(self, manifest: Manifest) -> None:
        write_manifest(self.folder, manifest)
        self._read_again()

    def _read_again(self) -> None:
        fresh = Index.open(self.folder)
        self.manifest, self.parts, self._columns, self._flags = fresh.manifest, fresh.parts, {}, {}

    def _new_name(self) -> str:
        return f"{self.manifest.written + 1:08d}"

    def _without(self, part: Part, found: np.ndarray[Any, np.dtype[np.int64]]) -> PartEntry:
        gone = np.union1d(part.gone, found)
        name = f"{part.entry.name}.removed-{self.manifest.written + 1}.npy"
        buffer = io.BytesIO()
        np.save(buffer, gone)
        with writing(self.folder):
            write_whole(self.folder / "parts" / name, buffer.getvalue())
        return replace(part.entry, removed=name, gone=len(gone))

    def _settled(self) -> tuple[list[Part], list[Part]]:
        """The parts at the beginning that a compaction would write again as they are, and the rest."""
        count = 0
        for part in self.parts:
            if part.entry.rows != LARGEST_PART or part.entry.gone:
                break
            count += 1
        return self.parts[:count], self.parts[count:]

    def _stretches(self, parts: Sequence[Part]) -> Iterator[list[Records]]:
        """The rows that count, `LARGEST_PART` at a time."""
        names = list(self.columns)
        kept: list[Records] = []
        size = 0
        for part in parts:
            for start in range(0, part.entry.rows, 4096):
                records = part.records(start, min(start + 4096, part.entry.rows), names)
                while len(records.ids):
                    free = LARGEST_PART - size
                    kept.append(_cut(records, 0, free))
                    size += len(kept[-1].ids)
                    records = _cut(records, free, len(records.ids))
                    if size == LARGEST_PART:
                        yield kept
                        kept, size = [], 0
        if size:
            yield kept

    def _sweep(self) -> None:
        """Remove files that the manifest does not list: of a compaction, or of a process that died."""
        listed = {name for entry in self.manifest.parts for name in files_of(entry)}
        with writing(self.folder):
            for file in (self.folder / "parts").glob("*"):
                if file.name not in listed:
                    file.unlink(missing_ok=True)


@dataclass
class _Writing:
    """The right to change an index, which is read again as others left it, and rid of what the dead left."""

    index: Index

    def __enter__(self) -> None:
        self._lock = locked(self.index.folder)
        self._lock.__enter__()
        try:
            if read_manifest(self.index.folder) != self.index.manifest:
                self.index._read_again()
            if (self.index.folder / "parts").is_dir():
                self.index._sweep()
        except BaseException:
            self._lock.__exit__(None, None, None)
            raise

    def __exit__(self, *error: object) -> None:
        self._lock.__exit__(None, None, None)


def _cut(records: Records, start: int, stop: int) -> Records:
    return Records(
        records.ids[start:stop],
        records.images[start:stop],
        records.reports[start:stop],
        records.columns[start:stop],
        records.thumbnails[start:stop],
    )
