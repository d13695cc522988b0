"""A LanceDB table behind the interface of an index: for what outgrows one machine, on disk or in object storage."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xlip.errors import XLIPError
from xlip.files import reading, writing
from xlip.runtime.encoder import Array
from xlip.search.manifest import REAL, TEXT, WHOLE, typed
from xlip.search.part import ID, arrow_types
from xlip.search.store import FINDABLE, IMAGES, Facts, Hit, Records
from xlip.search.where import checked

if TYPE_CHECKING:
    import pyarrow as pa

TABLE = "rows"
_FACTS = b"xlip_facts"
VECTORS = {IMAGES: "image_vector", "reports": "report_vector"}
THUMBNAIL = "thumbnail"
OWN = (ID, "row", THUMBNAIL, *VECTORS.values())
INDEXED_FROM = 20_000
"""Rows from which on an approximate index is made; fewer are compared one by one."""
ROWS_PER_GRAPH = 1 << 20
"""Of the approximate index."""
PROBES, REFINED = 64, 20
"""Parts of the index that a query looks into, and how many times `top` candidates are compared exactly; chosen by
`bench/search.py` for a recall of 0.99."""


@dataclass
class LanceIndex:
    """An index whose rows are those of a LanceDB table."""

    place: str
    table: Any

    @classmethod
    def open(cls, place: str) -> LanceIndex:
        """A table that is there.

        Raises:
            XLIPError: there is none, or LanceDB cannot run here.
        """
        with reading(place, "make the index again with `xlip embed --backend lance`"):
            return cls(place, _connect(place).open_table(TABLE))

    @classmethod
    def create(cls, place: str, facts: Facts) -> LanceIndex:
        """A new table, or the one that is there.

        Raises:
            XLIPError: its vectors are of another checkpoint, or LanceDB cannot run here.
        """
        if is_lance(place):
            found = cls.open(place)
            found.facts.check(facts, place)
            return found
        with writing(Path(place)):
            return cls(place, _connect(place).create_table(TABLE, schema=_schema(facts)))

    @property
    def facts(self) -> Facts:
        """What all vectors have in common."""
        return Facts(**json.loads((self.table.schema.metadata or {})[_FACTS]))

    @property
    def identity(self) -> str:
        """Of the checkpoint that made the vectors."""
        return self.facts.identity

    @property
    def columns(self) -> Mapping[str, str]:
        """Column -> text, whole or real."""
        names = {str(kind): name for name, kind in arrow_types().items()}
        return {field.name: names[str(field.type)] for field in self.table.schema if field.name not in OWN}

    def __len__(self) -> int:
        return int(self.table.count_rows())

    def ids(self) -> list[str]:
        """Ids in the order in which they came."""
        found = self._read([ID, "row"])
        return list(found.sort_by("row").column(ID).to_pylist())

    def append(self, records: Records) -> None:
        """See `Store.append`."""
        import pyarrow as pa

        records.check(self.facts.width, self.place)
        if not len(records.ids):
            return
        if twice := set(records.ids) & set(self.ids()):
            raise XLIPError(f"{self.place}: id {min(twice)!r} is in the index already; remove it first")
        types = {name: REAL if kind == WHOLE else kind for name, kind in self._types(records).items()}
        self._widen(types)
        rows = self._read(["row"]).column(0)
        start = 1 + max(rows.to_pylist(), default=-1)
        columns: dict[str, pa.Array] = {
            ID: pa.array(records.ids, pa.string()),
            "row": pa.array(range(start, start + len(records.ids)), pa.int64()),
            THUMBNAIL: pa.array([picture or None for picture in records.thumbnails], pa.binary()),
            **{name: _vectors(getattr(records, find)) for find, name in VECTORS.items()},
        }
        for name, kind in types.items():
            cast = str if kind == TEXT else float
            values = [None if row.get(name) is None else cast(row[name]) for row in records.columns]
            columns[name] = pa.array(values, arrow_types()[kind])
        with reading(self.place, "look at the storage"):
            self.table.add(pa.table(columns))

    def remove(self, ids: Iterable[str]) -> int:
        """See `Store.remove`."""
        before, wanted = len(self), sorted(set(ids))
        for start in range(0, len(wanted), 500):
            self.table.delete(f"{ID} IN ({', '.join(map(_quoted, wanted[start : start + 500]))})")
        return before - len(self)

    def compact(self) -> None:
        """Let LanceDB write its files together, take removed rows off the disk, and bring its indices up to date."""
        from datetime import timedelta

        if len(self) >= INDEXED_FROM:
            there = {index.columns[0] for index in self.table.list_indices()}
            for name in VECTORS.values():
                if name not in there and self.table.count_rows(f"{name} IS NOT NULL") >= INDEXED_FROM:
                    self._make_index(name)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that readers of older versions fail is what docs/howto/search.md says
            self.table.optimize(cleanup_older_than=timedelta(0))

    def nearest(
        self, queries: Array, top: int, where: str = "", find: str = IMAGES, without: Sequence[str] = ()
    ) -> list[list[Hit]]:
        """See `Store.nearest`; from `INDEXED_FROM` rows on, some of the best may be missing (bench/search.py)."""
        if find not in FINDABLE:
            raise XLIPError(f"find: expected one of {', '.join(FINDABLE)}, got {find!r}")
        if top < 1 or queries.ndim != 2 or queries.shape[1] != self.facts.width or not np.isfinite(queries).all():
            raise XLIPError(f"{self.place}: expected top >= 1 and finite queries (q, {self.facts.width})")
        if where:
            checked(where, [ID, "row", *self.columns])
        return [self._nearest(query, top, where, find, without) for query in queries]

    def _nearest(self, query: Array, top: int, where: str, find: str, without: Sequence[str]) -> list[Hit]:
        name = VECTORS[find]
        search = self.table.search(query.astype(np.float32), vector_column_name=name).distance_type("dot")
        conditions = [f"{name} IS NOT NULL", *([f"({where}\n)"] if where else [])]
        if without:
            conditions.append(f"{ID} NOT IN ({', '.join(map(_quoted, without))})")
        search = search.where(" AND ".join(conditions), prefilter=True).limit(top)
        search = search.nprobes(PROBES).refine_factor(REFINED)
        with reading(self.place, "look at the filter and the storage"):
            rows = search.select([ID, "row", name, "_distance", *self.columns]).to_list()
        for row in rows:  # LanceDB adds up half floats as half floats
            row["score"] = float(np.asarray(row[name], np.float32) @ query.astype(np.float32))
        rows.sort(key=lambda row: (-row["score"], row["row"]))
        columns = list(self.columns)
        return [
            Hit(row["row"], row[ID], row["score"], {key: row[key] for key in columns if row[key] is not None})
            for row in rows
        ]

    def vector(self, id_: str, find: str = IMAGES) -> Array | None:
        """The stored vector (E,) of a row; None where it has none."""
        found = self._one(id_, VECTORS[find])
        return None if found is None else np.array(found, np.float32)

    def thumbnail(self, id_: str) -> bytes | None:
        """The picture of a row; None where there is none."""
        found = self._one(id_, THUMBNAIL)
        return None if found is None else bytes(found)

    def _one(self, id_: str, name: str) -> Any:
        rows = self.table.search().where(f"{ID} = {_quoted(id_)}").select([name]).limit(1).to_list()
        return rows[0][name] if rows else None

    def _read(self, names: list[str]) -> pa.Table:
        return self.table.search().select(names).limit(max(len(self), 1)).to_arrow()

    def _types(self, records: Records) -> dict[str, str]:
        return typed(self.columns, list(records.columns), self.place)

    def _widen(self, types: Mapping[str, str]) -> None:
        """Add the columns that the table lacks; all numbers are real here, for LanceDB changes no type."""
        import pyarrow as pa

        kinds = arrow_types()
        if new := [pa.field(name, kinds[kind]) for name, kind in types.items() if name not in self.columns]:
            self.table.add_columns(new)

    def _make_index(self, name: str) -> None:
        # A graph over bytes: training the parts of a product-quantised index takes minutes for 50,000 half floats.
        from lancedb.index import HnswSq

        graphs = HnswSq(distance_type="dot", num_partitions=max(1, len(self) // ROWS_PER_GRAPH))
        self.table.create_index(name, config=graphs, replace=True)


def is_lance(place: str) -> bool:
    """Whether an index of this kind lies at a path or URL."""
    if "://" not in place:
        return (Path(place) / f"{TABLE}.lance").is_dir()
    return TABLE in _connect(place).table_names()


def _connect(place: str) -> Any:
    check_processor()
    try:
        import lancedb
    except ImportError as error:
        raise XLIPError("this index needs LanceDB: pip install 'xlip[search]'") from error
    with reading(place, "check the path or URL, and the rights to it"):
        return lancedb.connect(place)


def check_processor(flags: str | None = None) -> None:
    """Refuse where LanceDB would crash with an illegal instruction.

    Args:
        flags: what the processor can do; default: as Linux says it, where it does.

    Raises:
        XLIPError: an x86 processor without AVX2.
    """
    if flags is None:
        file = Path("/proc/cpuinfo")
        text = file.read_text("utf-8", "replace") if file.exists() else ""
        flags = next((line for line in text.splitlines() if line.startswith("flags")), "")
    if flags and "avx2" not in flags.split():
        raise XLIPError(
            "LanceDB needs a processor with AVX2, which this one lacks; use --backend exact, which runs on any"
        )


def _schema(facts: Facts) -> pa.Schema:
    import pyarrow as pa

    vector = pa.list_(pa.float16(), facts.width)
    fields = [(ID, pa.string()), ("row", pa.int64()), (THUMBNAIL, pa.binary())]
    fields += [(name, vector) for name in VECTORS.values()]
    return pa.schema(fields, metadata={_FACTS: json.dumps(asdict(facts)).encode()})


def _vectors(vectors: Array) -> pa.Array:
    """(n, E) as a column of half floats; a vector of zeros as nothing."""
    import pyarrow as pa

    half = np.ascontiguousarray(vectors, np.float16)
    flat = pa.array(half.reshape(-1), pa.float16())
    return pa.FixedSizeListArray.from_arrays(flat, half.shape[1], mask=pa.array(~half.any(1)))


def _quoted(text: str) -> str:
    """A constant of SQL: quotes within are doubled, so that an id can say nothing."""
    return "'" + text.replace("'", "''") + "'"
