"""The plan of a preparation: what a source holds, in how many parts it goes, and which rows make up each part.

Everything here is a function of the raw set and the settings, so that a second run, or another machine, cuts the same
parts. Memory: 8 bytes a study.
"""

from __future__ import annotations

import hashlib
import json
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from xlip.preparation.splits import Item, Split
from xlip.sources.source import Candidate, Dropped, Row
from xlip.study.record import Study

PART = 2048
"""Studies of a part file at most."""
SMALL_PART, SPREAD = 64, 16
"""A set that fills them is cut into at least 16 parts of 64, so that several processes share a small set too."""
JOURNAL_VERSION = "4"
"""Raise it where parts that an earlier version began must not be gone on with."""


@dataclass(frozen=True)
class Plan:
    """What the survey of a source found."""

    studies: int
    """Candidates with an id of their own."""
    parts: int
    key: str
    """Digest of settings, counts and ids: a journal with another key belongs to another preparation."""
    repeated: frozenset[int]
    """Digests of ids that come more than once."""
    split: Split | None = None

    def name(self, part: int) -> str:
        """File name of a part: `part-00003-of-00064`."""
        return f"part-{part:05d}-of-{self.parts:05d}"

    def bounds(self, part: int) -> tuple[int, int]:
        """Numbers [first, last) of the studies of a part; parts differ by one study at most."""
        return self.studies * part // self.parts, self.studies * (part + 1) // self.parts


@dataclass
class Unit:
    """The rows of one part."""

    part: int
    name: str
    rows: list[Row] = field(default_factory=list)
    key: str = ""
    """Digest of the plan and of the rows."""

    @property
    def studies(self) -> int:
        """Rows that are candidates."""
        return sum(isinstance(row, Candidate) for row in self.rows)


def survey(
    rows: Iterable[Row], settings: Mapping[str, Any], split: Callable[[list[Item]], Split] | None = None
) -> Plan:
    """Go through a source once, without opening an image: counts, repeated ids, and the named split if one is asked."""
    ids = array("Q")
    items: list[Item] = []
    digest = hashlib.blake2b(json.dumps([JOURNAL_VERSION, settings], sort_keys=True, default=str).encode())
    for row in rows:
        if isinstance(row, Candidate):
            ids.append(id_digest(row.study.study_id))
            if split:
                items.append(Item.of(row.study))
    numbers = np.frombuffer(ids, np.uint64) if ids else np.zeros(0, np.uint64)
    digest.update(numbers.tobytes())
    unique, counts = np.unique(numbers, return_counts=True)
    made = split(items) if split else None
    digest.update((made.checksum if made else "").encode())
    repeated = frozenset(int(number) for number in unique[counts > 1])
    return Plan(len(unique), parts_of(len(unique)), digest.hexdigest()[:32], repeated, made)


def parts_of(studies: int) -> int:
    """How many parts a set is cut into: a power of two up to 64, a multiple of 64 above.

    So 2, 4, 8 ... 64 readers get the same number of files of the same length.
    """
    wanted = max(-(-studies // PART), min(SPREAD, studies // SMALL_PART), 1)
    return 1 << (wanted - 1).bit_length() if wanted <= 64 else -(-wanted // 64) * 64


def units(rows: Iterable[Row], plan: Plan) -> Iterator[Unit]:
    """The rows of each part in order; a repeated id becomes a drop; drops and notices stay with their neighbours."""
    seen: set[int] = set()
    part, count = 0, 0
    unit = _Builder(plan, part)
    for row in rows:
        checked = _first_only(row, plan.repeated, seen)
        if isinstance(checked, Candidate):
            while count >= plan.bounds(part)[1] and part + 1 < plan.parts:
                yield unit.finished()
                part += 1
                unit = _Builder(plan, part)
            count += 1
            if plan.split:
                checked = checked._replace(study=plan.split.applied(checked.study))
        unit.add(checked)
    yield unit.finished()
    for empty in range(part + 1, plan.parts):
        yield _Builder(plan, empty).finished()


class _Builder:
    """Collects the rows of a unit and digests them."""

    def __init__(self, plan: Plan, part: int) -> None:
        self.unit = Unit(part, plan.name(part))
        self.digest = hashlib.blake2b(f"{plan.key}:{part}".encode(), digest_size=16)

    def add(self, row: Row) -> None:
        self.unit.rows.append(row)
        self.digest.update(_described(row).encode("utf-8", "surrogatepass"))

    def finished(self) -> Unit:
        self.unit.key = self.digest.hexdigest()
        return self.unit


def id_digest(text: str) -> int:
    """64 bits that stand for an id."""
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")


def _first_only(row: Row, repeated: frozenset[int], seen: set[int]) -> Row:
    if not isinstance(row, Candidate) or not repeated:
        return row
    number = id_digest(row.study.study_id)
    if number not in repeated:
        return row
    if number in seen:
        return Dropped(row.study.study_id, "duplicate study id; the first one is kept")
    seen.add(number)
    return row


def _described(row: Row) -> str:
    """A row in words that are the same in every run: no address of a function, no image bytes."""
    if not isinstance(row, Candidate):
        return repr(row)
    study: Study = row.study
    image = b""
    if study.image is not None or study.masks:
        image = hashlib.blake2b(study.image or b"", digest_size=16).digest()
        study = study._replace(image=None, masks={})
    how = (row.complete.func.__qualname__, row.complete.args) if isinstance(row.complete, partial) else ()
    return repr((tuple(study), image, str(row.file), how, row.boxes, row.frame, row.whole_report, row.known))
