"""Which training images an audit looks at closely: those whose signatures are nearest to a test image's."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from xlip.audit.index import Index
from xlip.audit.phash import CANDIDATE, POSES, Floats

CLOSEST = 3
"""Training studies that are looked at closely for each test study, the most alike ones."""
LEADING = 32
"""Principal directions in which everything is compared with everything: 93 % of the signatures of real images."""
SAMPLE = 20_000
"""Training rows that the directions are found from."""
TRAIN_BLOCK, TEST_BLOCK = 512, 64
"""Rows and test studies of one product: 1.5 MB, which stay in the cache until they are looked through."""
TOGETHER = 16_384
"""Cosines computed at once: 20 MB, also where all pictures are alike."""
SLACK = 1e-4
"""Added to a bound against rounding."""

Ints = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True, slots=True)
class Candidate:
    """Two studies (numbers in their indexes) whose signatures are close, and the pose of the test image."""

    train: int
    test: int
    pose: int
    cosine: float


def candidates(train: Index, test: Index, workers: int = 0) -> list[Candidate]:
    """The `CLOSEST` training studies of each test study whose cosine reaches `CANDIDATE`, by training study.

    Exact, at a third of the cost of all cosines: `_bounding` makes vectors of `LEADING` + 1 numbers whose product is
    never below the cosine, and only where that bound passes the bar is the cosine computed. What a test study has found
    so far raises its bar.

    Args:
        train: one or two rows of hashes for each image.
        test: a row for each of `POSES` for each image.
        workers: threads.
    """
    if not len(train.hashes) or not len(test.hashes):
        return []
    directions = _directions(train.hashes)
    bounding = _bounding(train.hashes, directions)
    studies = test.owners[:: len(POSES)]

    def search(left: int) -> list[Candidate]:
        hashes = test.hashes[left * len(POSES) : (left + TEST_BLOCK) * len(POSES)]
        closest = _Closest(len(hashes) // len(POSES))
        closest.search(train, bounding, hashes, _bounding(hashes, directions))
        return closest.candidates(studies[left : left + TEST_BLOCK])

    blocks = range(0, len(studies), TEST_BLOCK)
    # One product a thread: the library's own threads would be idle while the products are looked through.
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(max(workers, 1)) as pool:
        found = [one for part in pool.map(search, blocks) for one in part]
    return sorted(found, key=lambda one: (one.train, one.test))


def _directions(hashes: Floats) -> Floats:
    """(SIZE, LEADING): the orthonormal directions that hold most of the hashes."""
    sample = hashes[:: -(-len(hashes) // SAMPLE)].astype(np.float64)
    _, vectors = np.linalg.eigh(sample.T @ sample)
    leading: Floats = vectors[:, ::-1][:, :LEADING].astype(np.float32)
    return leading


def _bounding(hashes: Floats, directions: Floats) -> Floats:
    """(n, LEADING + 1): coordinates in the directions, and the length of what lies outside them.

    By Cauchy and Schwarz <a, b> = <a', b'> + <a - a', b - b'> <= <a', b'> + |a - a'| |b - b'|.
    """
    leading = hashes @ directions
    rest = np.sqrt(np.maximum((hashes**2).sum(1) - (leading**2).sum(1), 0) + SLACK)
    bounding: Floats = np.concatenate([leading, rest[:, None]], 1)
    return bounding


class _Closest:
    """The closest training studies of each of some test studies (arrays of equal length, at most `CLOSEST` of each)."""

    def __init__(self, tests: int) -> None:
        self.tests = tests
        self.test = self.train = self.pose = np.zeros(0, np.int64)
        self.cosine = np.zeros(0, np.float32)

    def search(self, train: Index, bounding: Floats, hashes: Floats, bounding_tests: Floats) -> None:
        """Take in all training rows, a block at a time."""
        columns = np.ascontiguousarray(bounding_tests.T)
        products = np.empty((TRAIN_BLOCK, len(hashes)), np.float32)
        passed = np.empty(products.shape, np.bool_)
        for top in range(0, len(bounding), TRAIN_BLOCK):
            rows = bounding[top : top + TRAIN_BLOCK]
            bounds, over = products[: len(rows)], passed[: len(rows)]
            np.matmul(rows, columns, out=bounds)
            np.greater_equal(bounds, self._bar(), out=over)
            places = np.flatnonzero(over)
            for start in range(0, len(places), TOGETHER):
                row, column = np.divmod(places[start : start + TOGETHER], len(hashes))
                cosines = np.einsum("ij,ij->i", train.hashes[top + row], hashes[column])
                self._add(cosines, train.owners[top + row], column)

    def candidates(self, studies: Ints) -> list[Candidate]:
        """What is there, with the numbers of the test studies in their index."""
        columns = (self.train, studies[self.test], self.pose, self.cosine)
        return [Candidate(int(a), int(b), int(c), float(d)) for a, b, c, d in zip(*columns, strict=True)]

    def _add(self, cosines: Floats, owners: Ints, columns: Ints) -> None:
        near = cosines >= self._bar()[columns]
        if not near.any():
            return
        test, pose = np.divmod(columns[near], len(POSES))
        self._keep(
            np.concatenate([self.test, test]),
            np.concatenate([self.train, owners[near]]),
            np.concatenate([self.pose, pose]),
            np.concatenate([self.cosine, cosines[near]]),
        )

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
