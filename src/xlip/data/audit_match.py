"""Overlaps between a training set and a test set: by patient, study, pixels, picture and text."""

from __future__ import annotations

import multiprocessing
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from xlip.data.audit_index import Index, load_images
from xlip.data.images import Gray
from xlip.data.phash import ALIKE, CANDIDATE, POSES, SAME, same_picture

KINDS = ("patient", "study", "pixels", "picture", "report")
"""What a training study and a test study may share."""
HINT = "alike"
"""Not a leak, but worth a look: pictures between `ALIKE` and `SAME`, often of the same patient on another day."""
TRAIN_BLOCK, TEST_BLOCK = 4096, 64
CLOSEST = 3
"""Training studies that are looked at closely for each test study, the most alike ones."""


@dataclass(frozen=True, slots=True)
class Overlap:
    """One training study that one test study gives away."""

    kind: str
    train: str
    test: str
    score: float = 1.0
    """Correlation for `picture`, else 1."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """Two studies (numbers in their indexes) whose signatures are close, and the pose of the test image."""

    train: int
    test: int
    pose: int
    cosine: float


def overlaps(train: Index, test: Index, workers: int) -> list[Overlap]:
    """Every overlap, sorted; a pair that shares its pixels is not listed as a picture again."""
    found = [
        *_shared("patient", train.patients, test.patients, train.ids, test.ids),
        *_shared("study", train.ids, test.ids, train.ids, test.ids),
        *_shared("pixels", train.pixels, test.pixels, train.ids, test.ids),
        *_same_texts(train, test),
    ]
    exact = {(item.train, item.test) for item in found if item.kind == "pixels"}
    near = confirmed(train, test, candidates(train, test), workers)
    found += [item for item in near if (item.train, item.test) not in exact]
    order = (*KINDS, HINT)
    return sorted(found, key=lambda item: (order.index(item.kind), item.train, item.test))


def candidates(train: Index, test: Index) -> list[Candidate]:
    """The `CLOSEST` training studies of each test study whose cosine reaches `CANDIDATE`.

    One matrix product per block: (rows of train, SIZE) x (SIZE, poses of tests).
    """
    if not len(train.hashes) or not len(test.hashes):
        return []
    poses = len(POSES)
    studies = test.owners[::poses]
    best: dict[int, dict[int, Candidate]] = defaultdict(dict)
    for left in range(0, len(studies), TEST_BLOCK):
        block = np.ascontiguousarray(test.hashes[left * poses : (left + TEST_BLOCK) * poses].T)
        for top in range(0, len(train.hashes), TRAIN_BLOCK):
            cosines = train.hashes[top : top + TRAIN_BLOCK] @ block
            for row, column in zip(*np.divmod(np.flatnonzero(cosines >= CANDIDATE), cosines.shape[1]), strict=True):
                owner, study = int(train.owners[top + row]), int(studies[left + column // poses])
                _keep(best[study], Candidate(owner, study, int(column % poses), float(cosines[row, column])))
    return [one for of_study in best.values() for one in of_study.values()]


def confirmed(train: Index, test: Index, pairs: Sequence[Candidate], workers: int) -> list[Overlap]:
    """The candidates whose fine structure is the same (`picture`), or nearly so (`alike`)."""
    chunks = [pairs[start : start + 512] for start in range(0, len(pairs), 512)]
    jobs = ([(train.places[one.train], test.places[one.test], one.pose) for one in chunk] for chunk in chunks)
    scores = (score for part in _mapped(jobs, workers if len(chunks) > 1 else 0) for score in part)
    return [
        Overlap("picture" if score >= SAME else HINT, train.ids[one.train], test.ids[one.test], round(score, 3))
        for one, score in zip(pairs, scores, strict=True)
        if score >= ALIKE
    ]


def _keep(of_study: dict[int, Candidate], fresh: Candidate) -> None:
    """Keep the best pose of each training study, and the closest training studies."""
    known = of_study.get(fresh.train)
    if known is None or fresh.cosine > known.cosine:
        of_study[fresh.train] = fresh
    if len(of_study) > CLOSEST:
        del of_study[min(of_study, key=lambda number: of_study[number].cosine)]


def _mapped(jobs: Iterable[Any], workers: int) -> Iterator[list[float]]:
    if workers == 0:
        yield from map(_scores, jobs)
        return
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(_scores, jobs)


def _scores(pairs: list[tuple[tuple[str, int], tuple[str, int], int]]) -> list[float]:
    images: dict[tuple[str, int], Gray] = dict(load_images([place for pair in pairs for place in pair[:2]]))
    return [same_picture(images[first], images[second], POSES[pose]) for first, second, pose in pairs]


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
    """Long reports that stand once on each side: a text that a hospital writes often gives nobody away."""
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
