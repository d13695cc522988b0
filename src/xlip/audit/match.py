"""Overlaps between a training set and a test set: by patient, study, pixels, picture and text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from xlip.audit.candidates import Candidate, candidates
from xlip.audit.index import Index, load_images
from xlip.audit.phash import ALIKE, POSES, SAME, correlation, fine_spectra, thumbs
from xlip.images.gray import Gray
from xlip.processes import in_order

KINDS = ("patient", "study", "pixels", "picture", "report")
"""What a training study and a test study may share."""
HINT = "alike"
"""Not a leak, but worth a look: pictures between `ALIKE` and `SAME`, often of the same patient on another day."""


@dataclass(frozen=True, slots=True)
class Overlap:
    """One training study that matches one test study."""

    kind: str
    train: str
    test: str
    score: float = 1.0
    """Correlation for `picture`, else 1."""


def overlaps(train: Index, test: Index, workers: int) -> list[Overlap]:
    """Every overlap, sorted; a pair that shares its pixels is not listed as a picture again."""
    found = [
        *_shared("patient", train.patients, test.patients, train.ids, test.ids),
        *_shared("study", train.ids, test.ids, train.ids, test.ids),
        *_shared("pixels", train.pixels, test.pixels, train.ids, test.ids),
        *_same_texts(train, test),
    ]
    exact = {(item.train, item.test) for item in found if item.kind == "pixels"}
    near = confirmed(train, test, candidates(train, test, workers), workers)
    found += [item for item in near if (item.train, item.test) not in exact]
    order = (*KINDS, HINT)
    return sorted(found, key=lambda item: (order.index(item.kind), item.train, item.test))


def confirmed(train: Index, test: Index, pairs: Sequence[Candidate], workers: int) -> list[Overlap]:
    """The candidates whose fine structure is the same (`picture`), or nearly so (`alike`)."""
    chunks = [pairs[start : start + 512] for start in range(0, len(pairs), 512)]
    # A chunk is some 5 MB of small images.
    jobs = ([(train.places[one.train], test.thumbs[one.test], one.pose) for one in chunk] for chunk in chunks)
    scores = (score for part in in_order(_scores, jobs, workers if len(chunks) > 1 else 0) for score in part)
    return [
        Overlap("picture" if score >= SAME else HINT, train.ids[one.train], test.ids[one.test], round(score, 3))
        for one, score in zip(pairs, scores, strict=True)
        if score >= ALIKE
    ]


def _scores(pairs: list[tuple[tuple[str, int], tuple[Gray, ...], int]]) -> list[float]:
    first = {place: fine_spectra(thumbs(image)) for place, image in load_images([place for place, _, _ in pairs])}
    return [correlation(first[place], second, POSES[pose]) for place, second, pose in pairs]


def _shared(
    kind: str, train: Sequence[Any], test: Sequence[Any], train_ids: Sequence[str], test_ids: Sequence[str]
) -> Iterator[Overlap]:
    """One overlap for each training study that shares a value: the first test study stands for all of them."""
    first: dict[Any, str] = {}
    for value, id_ in zip(test, test_ids, strict=True):
        if value:
            first.setdefault(value, id_)
    for value, id_ in zip(train, train_ids, strict=True):
        if value in first:
            yield Overlap(kind, id_, first[value])


def _same_texts(train: Index, test: Index) -> list[Overlap]:
    """Long reports that stand once on each side: a text that a hospital writes often does not identify a patient."""
    once_train, once_test = _single(train.texts), _single(test.texts)
    pairs = [(digest, number) for digest, number in once_train.items() if digest in once_test]
    return [Overlap("report", train.ids[number], test.ids[once_test[digest]]) for digest, number in pairs]


def _single(digests: Sequence[int]) -> dict[int, int]:
    places: dict[int, int] = {}
    again: set[int] = set()
    for number, digest in enumerate(digests):
        if digest in places:
            again.add(digest)
        elif digest:
            places[digest] = number
    return {digest: number for digest, number in places.items() if digest not in again}
