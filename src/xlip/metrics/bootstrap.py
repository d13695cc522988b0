"""Percentile bootstrap that resamples patients, not images (docs/reference/metrics.md)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

CHUNK_BYTES = 1 << 20
"""Of the weights of all cases in the replicates of a chunk: memory does not grow with the replicates, and the cache of
a core holds what is summed."""


def patient_numbers(patients: Array) -> tuple[Array, int]:
    """(n,) the number of each case's patient from 0, and how many patients there are; ids are of any sortable type."""
    distinct, numbers = np.unique(patients, return_inverse=True)
    return numbers.reshape(-1), len(distinct)


def patient_draws(count: int, replicates: int, seed: int, *, cases: int = 0) -> Iterator[Array]:
    """How often each of `count` patients is drawn in each replicate: float64 (r, count), some replicates at a time.

    A replicate draws as many patients as there are, with replacement. What a replicate draws depends on the seed and
    its number alone, not on the size of the chunks, which is chosen for `cases` cases of these patients.
    """
    rng = np.random.default_rng(seed)
    rows = max(1, CHUNK_BYTES // (8 * max(count, cases, 1)))
    for start in range(0, replicates, rows):
        size = min(rows, replicates - start)
        drawn = rng.integers(0, count, (size, count)) if count else np.zeros((size, 0), np.int64)
        drawn += np.arange(size)[:, None] * count
        yield np.bincount(drawn.ravel(), minlength=size * count).reshape(size, count).astype(np.float64)


def interval(sample: Array) -> tuple[float, float]:
    """Percentiles 2.5 and 97.5 of the finite values of a sample; NaN where there is none."""
    real = sample[np.isfinite(sample)]
    if not len(real):
        return float("nan"), float("nan")
    low, high = np.percentile(real, (2.5, 97.5))
    return float(low), float(high)
