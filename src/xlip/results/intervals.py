"""Means with a bootstrap interval over patients, for figures that are averages over cases."""

from __future__ import annotations

import numpy as np

from xlip.metrics.bootstrap import interval
from xlip.results.result import Array
from xlip.results.typed import NONE, Mean

REPLICATES_PER_CHUNK = 50


def mean_with_interval(values: Array, patients: Array, *, replicates: int, seed: int) -> Mean:
    """`mean` of (n,) values and `ci95`, percentiles over replicates that resample patients; None where n = 0.

    Every patient is one column, whatever the number of its cases: memory is that of a chunk of replicates.
    """
    if not len(values):
        return Mean(mean=None, ci95=NONE)
    _, patient = np.unique(patients, return_inverse=True)
    sums, sizes = np.bincount(patient, values.astype(np.float64)), np.bincount(patient)
    rng, sample = np.random.default_rng(seed), []
    for first in range(0, replicates, REPLICATES_PER_CHUNK):
        count = min(REPLICATES_PER_CHUNK, replicates - first)
        draws = rng.multinomial(len(sums), np.full(len(sums), 1 / len(sums)), size=count)
        sample.append((draws @ sums) / (draws @ sizes))
    bounds = interval(np.concatenate(sample)) if sample else (np.nan, np.nan)
    return Mean(mean=float(np.mean(values)), ci95=bounds)
