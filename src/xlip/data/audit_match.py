"""Overlaps between a training set and a test set: by patient, study, pixels, picture and text."""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from xlip.data.audit_index import Index, load_images
from xlip.data.images import Gray
from xlip.data.phash import ALIKE, CANDIDATE, POSES, SAME, Floats, correlation, thumbs

KINDS = ("patient", "study", "pixels", "picture", "report")
"""What a training study and a test study may share."""
HINT = "alike"
"""Not a leak, but worth a look: pictures between `ALIKE` and `SAME`, often of the same patient on another day."""
TRAIN_BLOCK, TEST_BLOCK = 512, 64
"""Rows of one product. 1.5 MB stay in the cache until they are looked through; with 12 MB it takes a quarter longer."""
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
    """The `CLOSEST` training studies of each test study whose cosine reaches `CANDIDATE`, by training study.

    One matrix product per block: (rows of train, SIZE) x (SIZE, poses of tests). What a test study has found so far
    raises the bar for the next block, so that few numbers are ever looked at one by one.
    """
    if not len(train.hashes) or not len(test.hashes):
        return []
    found: list[Candidate] = []
    studies = test.owners[:: len(POSES)]
    for left in range(0, len(studies), TEST_BLOCK):
        columns = slice(left * len(POSES), (left + TEST_BLOCK) * len(POSES))
        block = np.ascontiguousarray(test.hashes[columns].T)
        best = _Closest(block.shape[1] // len(POSES))
        for top in range(0, len(train.hashes), TRAIN_BLOCK):
            best.add(train.hashes[top : top + TRAIN_BLOCK] @ block, train.owners[top : top + TRAIN_BLOCK])
        found += best.candidates(studies[left : left + TEST_BLOCK])
    return sorted(found, key=lambda one: (one.train, one.test))


class _Closest:
    """The closest training studies of each of some test studies (arrays of equal length, at most `CLOSEST` of each)."""

    def __init__(self, tests: int) -> None:
        self.tests = tests
        self.test = self.train = self.pose = np.zeros(0, np.int64)
        self.cosine = np.zeros(0, np.float32)

    def add(self, cosines: Floats, owners: np.ndarray[Any, np.dtype[np.int64]]) -> None:
        """Take in a block (rows, tests * poses)."""
        rows, columns = np.divmod(np.flatnonzero(cosines >= self._bar()), cosines.shape[1])
        if not len(rows):
            return
        test, pose = np.divmod(columns, len(POSES))
        self._keep(
            np.concatenate([self.test, test]),
            np.concatenate([self.train, owners[rows]]),
            np.concatenate([self.pose, pose]),
            np.concatenate([self.cosine, cosines[rows, columns]]),
        )

    def candidates(self, studies: np.ndarray[Any, np.dtype[np.int64]]) -> list[Candidate]:
        """What is there, with the numbers of the test studies in their index."""
        columns = (self.train, studies[self.test], self.pose, self.cosine)
        return [Candidate(int(a), int(b), int(c), float(d)) for a, b, c, d in zip(*columns, strict=True)]

    def _bar(self) -> Floats:
        """Least cosine of interest for each column (tests * poses)."""
        bar = np.full(self.tests, CANDIDATE, np.float32)
        counts = np.bincount(self.test, minlength=self.tests)
        least = np.full(self.tests, np.inf, np.float32)
        np.minimum.at(least, self.test, self.cosine)
        full = counts >= CLOSEST
        bar[full] = np.maximum(bar[full], least[full])
        return bar.repeat(len(POSES))

    def _keep(self, test: Any, train: Any, pose: Any, cosine: Any) -> None:
        """The best pose of each training study, then the closest training studies of each test study."""
        order = np.lexsort((pose, train, -cosine, test))
        test, train, pose, cosine = (column[order] for column in (test, train, pose, cosine))
        pair = test * (int(train.max()) + 1) + train
        first = np.sort(np.unique(pair, return_index=True)[1])
        test, train, pose, cosine = (column[first] for column in (test, train, pose, cosine))
        starts = np.searchsorted(test, np.arange(self.tests))
        near = np.arange(len(test)) - starts[test] < CLOSEST
        self.test, self.train, self.pose, self.cosine = test[near], train[near], pose[near], cosine[near]


def confirmed(train: Index, test: Index, pairs: Sequence[Candidate], workers: int) -> list[Overlap]:
    """The candidates whose fine structure is the same (`picture`), or nearly so (`alike`)."""
    chunks = [pairs[start : start + 512] for start in range(0, len(pairs), 512)]
    jobs = ([(train.places[one.train], test.thumbs[one.test], one.pose) for one in chunk] for chunk in chunks)
    scores = (score for part in _mapped(jobs, workers if len(chunks) > 1 else 0) for score in part)
    return [
        Overlap("picture" if score >= SAME else HINT, train.ids[one.train], test.ids[one.test], round(score, 3))
        for one, score in zip(pairs, scores, strict=True)
        if score >= ALIKE
    ]


def _mapped(jobs: Iterable[Any], workers: int) -> Iterator[list[float]]:
    if workers == 0:
        yield from map(_scores, jobs)
        return
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        running: deque[Future[list[float]]] = deque()
        for job in jobs:  # a bounded number of jobs, each of 5 MB of small images, is under way
            running.append(pool.submit(_scores, job))
            if len(running) > 2 * workers:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()


def _scores(pairs: list[tuple[tuple[str, int], tuple[Gray, ...], int]]) -> list[float]:
    first = {place: thumbs(image) for place, image in load_images([place for place, _, _ in pairs])}
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
