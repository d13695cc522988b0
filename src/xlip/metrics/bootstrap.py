"""Percentile bootstrap that resamples patients, not images (PROTOCOLS 2)."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def patient_draws(patients: Array, replicates: int, seed: int) -> Array:
    """How often each case counts in each replicate, (R, n) float32: patients are drawn, with all of their cases."""
    _, index = np.unique(patients, return_inverse=True)
    count = int(index.max()) + 1 if len(index) else 0
    rng = np.random.default_rng(seed)
    draws = rng.multinomial(count, np.full(count, 1 / max(count, 1)), size=replicates).astype(np.float32)
    return draws[:, index]


def interval(sample: Array) -> tuple[float, float]:
    """Percentiles 2.5 and 97.5 of the finite values of a sample; NaN where there is none."""
    real = sample[np.isfinite(sample)]
    if not len(real):
        return float("nan"), float("nan")
    low, high = np.percentile(real, (2.5, 97.5))
    return float(low), float(high)
