"""The studies of a stream by number, read from Parquet as they are asked for, and the order of an epoch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence, Sized
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from xlip.batches.group_cache import run_cache
from xlip.batches.row_groups import Ints, RowGroups
from xlip.batches.sentences import MOST_REPORTS
from xlip.errors import XLIPError
from xlip.study.attributes import attributes
from xlip.study.labels import ABSENT, UNKNOWN
from xlip.study.parquet import entity_from_row, from_row
from xlip.study.record import Study

WINDOW_BYTES = 256 << 20
"""What is mixed at a time of a stream whose files are larger: a quarter of the cache, for there are three streams."""
ORDERS = ("auto", "rows", "groups")
SAMPLED = 500
"""Studies of a set that `StudyTable.content` looks at, about."""
_IMAGE = ("study_id", "image.bytes", "labels", "boxes", "masks", "view", "sex", "age")
_TEXT = ("study_id", "report", "entities", "report_kinds")
COLUMNS = {"pairs": (*_IMAGE, *_TEXT[1:]), "images": _IMAGE, "texts": _TEXT}
"""What of a study a batch of each stream is made of; nothing else is read."""
BLANK: dict[str, Any] = {"patient_id": "", "source": "", "split": None} | dict.fromkeys(
    ("image", "report", "labels", "entities", "view")
)
"""A row of which nothing was read."""


@dataclass(frozen=True)
class SetConfig:
    """One prepared set, as a part of a stream."""

    path: str
    """Folder or file that `xlip prepare` wrote, or its URL (`s3://bucket/set`)."""
    labels: bool = True
    """Whether its labels are used; false trains on its images as if they had none."""
    split: str = "train"
    """Which split of the set is used."""
    repeat: int = 1
    """How often an epoch of the stream holds this set."""
    unmentioned: str = "unknown"
    """How a kind counts that a report does not mention although it mentions others: `unknown`, or `absent`, which suits
    reports that list everything found."""

    def __post_init__(self) -> None:
        if self.unmentioned not in ("unknown", "absent"):
            raise XLIPError(f"{self.path}: unmentioned: expected unknown or absent, got {self.unmentioned!r}")


class StudyTable:
    """The studies of one stream, by index; only those that have what the stream needs."""

    def __init__(
        self, sets: Sequence[SetConfig], stream: str, excluded: frozenset[str] = frozenset(), order: str = "auto"
    ) -> None:
        """Args:
            sets: what the stream is made of.
            stream: one of `COLUMNS`.
            excluded: ids of studies that are left out.
            order: one of `ORDERS`, see `Streams.order`.

        Raises:
            XLIPError: a set that cannot be read, or of which nothing fits.
        """
        self.stream = stream
        self._tables: list[tuple[RowGroups, SetConfig]] = []
        rows, units = [np.zeros((0, 2), np.int64)], [np.zeros(0, np.int64)]
        size = first = 0
        for number, config in enumerate(sets):
            table = RowGroups(config.path, COLUMNS[stream], run_cache())
            self._tables.append((table, config))
            chosen = _usable(table, stream, config.split, excluded)
            if not len(chosen):
                raise XLIPError(f"{config.path}: no study of split {config.split!r} fits the stream {stream!r}")
            groups, copies = table.group_of(chosen), np.arange(config.repeat)
            rows.append(np.stack([np.full(len(chosen), number), chosen], 1).repeat(config.repeat, 0))
            units.append((first + groups[:, None] + copies * table.groups).reshape(-1))
            size += table.bytes_of(np.unique(groups).tolist()) * config.repeat
            first += table.groups * config.repeat
        self.rows = np.concatenate(rows)
        self._set_order(np.concatenate(units), size, order)

    def _set_order(self, units: Ints, size: int, order: str) -> None:
        if order not in ORDERS:
            raise XLIPError(f"data.order: expected one of {', '.join(ORDERS)}; got {order!r}")
        self.units: Ints | None = None
        """The number of each row's row group, every repetition of a set having its own; None: shuffled by rows."""
        self.window = 1.0
        """How many of these are mixed."""
        if len(units) and (order == "groups" or (order == "auto" and size > WINDOW_BYTES)):
            found, self.units = np.unique(units, return_inverse=True)
            self.window = max(2.0, WINDOW_BYTES * len(found) / size)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Study:
        number, row = self.rows[index]
        table, config = self._tables[number]
        study = from_row({**BLANK, **table.row(int(row))})
        # Regions are labels too: they say what is there and where.
        return study if config.labels else study._replace(labels={}, boxes=(), masks={})

    def fetch(self, indices: Sequence[int]) -> None:
        """Have what some studies lie in read at once, where that is faster than one after the other.

        Raises:
            XLIPError: it cannot be read.
        """
        for number, (table, _) in enumerate(self._tables):
            chosen = self.rows[list(indices)]
            table.fetch(chosen[chosen[:, 0] == number, 1].tolist())

    def silence(self, index: int) -> int:
        """How a kind counts that the report of a study does not mention although it mentions others."""
        return ABSENT if self._tables[self.rows[index, 0]][1].unmentioned == "absent" else UNKNOWN

    def fingerprint(self) -> str:
        """How many studies, repeats counted, and a hash over their ids in order."""
        found = hashlib.sha256(self.rows.tobytes())
        for study_id in self._values("study_id"):
            found.update(f"{study_id}\n".encode())
        return f"{len(self)} studies, {found.hexdigest()[:12]}"

    def content(self) -> str:
        """A hash over reports and labels of some studies, evenly spread over each set: it tells whether the same
        studies were prepared in another way.
        """
        found = hashlib.sha256()
        for number, (table, _) in enumerate(self._tables):
            wanted = self._rows_of(number)
            chosen = wanted[:: max(len(wanted) // SAMPLED, 1)]
            names = [name for name in ("report", "labels") if name in table.column_names]
            parts = [part.to_pydict() for part in table.read(names, chosen)]
            columns = {name: list(chain.from_iterable(part[name] for part in parts)) for name in names}
            found.update(json.dumps(columns, sort_keys=True, default=str).encode())
        return found.hexdigest()[:12]

    def reports(self) -> Iterator[str]:
        """The texts of all sets, once each; lone images have none."""
        if self.stream != "images":
            yield from (text for text in self._values("report") if text)

    def read_reports(self, most: int = MOST_REPORTS) -> Iterator[Study]:
        """Studies with nothing but report and entities, at most so many, spread evenly over the rows."""
        chosen = self.rows[np.unique(np.linspace(0, len(self) - 1, min(len(self), most)).astype(int))]
        for number, (table, _) in enumerate(self._tables):
            for part in table.read(["study_id", "report", "entities"], chosen[chosen[:, 0] == number, 1]):
                for row in part.to_pylist():
                    entities = tuple(map(entity_from_row, row["entities"] or ()))
                    yield Study(row["study_id"], "", "", report=row["report"], entities=entities)

    def has_headers(self) -> bool:
        """Whether some image has a value of `xlip.study.attributes`."""
        return any(value not in (None, "") for one in attributes() for value in self._values(one.name))

    def has_regions(self) -> bool:
        """Whether some image has a box or a mask that may be used."""
        for number, (table, config) in enumerate(self._tables):
            for name in {"boxes", "masks"} & set(table.column_names) if config.labels else ():
                if any(any(part[name].to_pylist()) for part in table.read([name], self._rows_of(number))):
                    return True
        return False

    def known_kinds(self) -> set[str]:
        """Kinds that some study's label or entity names."""
        found: set[str] = set()
        for table, config in self._tables:
            columns = ["labels"] if config.labels else []
            columns += ["entities"] if self.stream != "images" else []
            for name in columns:
                for part in table.read([f"{name}.list.element.kind"]):
                    kinds = part[name].combine_chunks().flatten().field("kind")
                    found |= {kind for kind in kinds.unique().to_pylist() if kind}
        return found

    def _rows_of(self, number: int) -> Ints:
        """The rows of a set, once each, ascending."""
        return np.unique(self.rows[self.rows[:, 0] == number, 1])

    def _values(self, column: str) -> Iterator[Any]:
        """What a column says of every study, once each; nothing from tables of a schema that lacks it."""
        for number, (table, _) in enumerate(self._tables):
            if column in table.column_names:
                for part in table.read([column], self._rows_of(number)):
                    yield from part[column].to_pylist()


def epoch_order(table: Sized, rng: np.random.Generator) -> Ints:
    """The order in which an epoch walks through a table.

    By rows it is a permutation. By groups, the row groups are put in a random order, and every row stands at the place
    of its own, moved by a random share of the window: at any time the rows of one window are mixed, and each row group
    is read once while its rows last.
    """
    if not isinstance(table, StudyTable) or table.units is None:
        return rng.permutation(len(table))
    places = rng.permutation(int(table.units.max()) + 1)
    moved: Ints = np.argsort(places[table.units] + table.window * rng.random(len(table)), kind="stable")
    return moved


def _usable(table: RowGroups, stream: str, split: str, excluded: frozenset[str]) -> Ints:
    """Row numbers of a split that have an image (pairs, images) and a report (pairs, texts), less the excluded ids."""
    import pyarrow as pa
    import pyarrow.compute as pc

    columns = ["split"] + ["study_id"] * bool(excluded)
    columns += ["image.path", "view"] * (stream != "texts") + ["report"] * (stream != "images")
    found = []
    for part in table.read(columns):
        keep = np.asarray(pc.equal(part["split"], split).fill_null(False))
        if stream != "texts":
            keep &= np.asarray(pc.is_valid(part["image"])) & np.asarray(pc.not_equal(part["view"], "LATERAL"))
        if stream != "images":
            keep &= np.asarray(pc.is_valid(part["report"]))
        if excluded:
            keep &= ~np.asarray(pc.is_in(part["study_id"], pa.array(sorted(excluded))))
        found.append(keep)
    return np.flatnonzero(np.concatenate(found)) if found else np.zeros(0, np.int64)
