"""Two models on the same cases: the difference of their AUROCs with a paired patient bootstrap.

The rule: docs/reference/metrics.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from xlip.metrics.bootstrap import interval, patient_draws, patient_numbers
from xlip.metrics.kinds import has_enough
from xlip.metrics.sorted_scores import RankedRuns

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Difference:
    """An AUROC of model a less that of model b; NaN where a class is missing."""

    auroc_a: float
    auroc_b: float
    difference: float
    """a - b."""
    ci95: tuple[float, float]
    """Of the difference: percentiles 2.5 and 97.5 over the replicates."""
    p: float
    """Two-sided bootstrap p-value, see `bootstrap_p`."""
    positives: int
    negatives: int

    @property
    def enough(self) -> bool:
        """See `has_enough`."""
        return has_enough(self.positives, self.negatives)


@dataclass(frozen=True)
class PairedComparison:
    """The differences of all kinds."""

    per_kind: tuple[Difference, ...]
    macro: Difference
    """Of the means over the kinds with enough cases; its counts are theirs together."""


def paired_bootstrap(
    labels: Array, scores_a: Array, scores_b: Array, patients: Array, *, replicates: int = 1000, seed: int = 0
) -> PairedComparison:
    """AUROC differences of every kind and of their macro mean; each replicate draws the same patients for both models.

    Args:
        labels: (n, K) of 1, 0 and, for unknown or uncertain, -1.
        scores_a: (n, K) finite; or (runs, n, K) of several trainings of the model, whose AUROCs are averaged.
        scores_b: the same of the other model; it may have another number of runs.
        patients: (n,) ids of any sortable type.
        replicates: bootstrap replicates.
        seed: of the bootstrap.

    Raises:
        XLIPError: a score is NaN or infinite.
    """
    numbers, count = patient_numbers(patients)
    kinds = labels.shape[1]
    pairs = [
        tuple(RankedRuns.of(labels[:, kind], scores[..., kind], numbers) for scores in (scores_a, scores_b))
        for kind in range(kinds)
    ]
    once = np.ones((1, count))
    areas = np.array([[cases.auroc(once)[0] for cases in pair] for pair in pairs]).reshape(kinds, 2)
    sample = np.full((kinds, replicates), np.nan)
    start = 0
    for weights in patient_draws(count, replicates, seed, cases=len(labels)):
        for kind, (a, b) in enumerate(pairs):
            sample[kind, start : start + len(weights)] = a.auroc(weights) - b.auroc(weights)
        start += len(weights)
    counts = [a.counts for a, _ in pairs]
    rows = tuple(_difference(*row) for row in zip(areas, sample, counts, strict=True))
    enough = np.array([row.enough for row in rows], bool)
    if not enough.any():
        return PairedComparison(rows, _difference(np.full(2, np.nan), np.full(1, np.nan), (0, 0)))
    together = sum(row.positives for row in rows if row.enough), sum(row.negatives for row in rows if row.enough)
    return PairedComparison(rows, _difference(areas[enough].mean(0), sample[enough].mean(0), together))


def bootstrap_p(sample: Array) -> float:
    """Two-sided p-value of "no difference" from replicates of the difference: how far into them 0 lies.

    Twice the smaller of the shares of replicates at or below 0 and at or above 0, each with 1 added to count and
    number, so that no finite number of replicates gives p = 0 (Davison and Hinkley 1997, section 4.2); at most 1.
    It is below 0.05 about when the 95 % percentile interval leaves 0 out. NaN without a finite replicate.
    """
    real = sample[np.isfinite(sample)]
    if not len(real):
        return float("nan")
    tail = min(int((real <= 0).sum()), int((real >= 0).sum()))
    return min(1.0, 2 * (tail + 1) / (len(real) + 1))


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted for their number (Holm 1979): below 0.05, one family in 20 holds a false discovery at most.

    The i-th smallest of m is multiplied by m - i + 1, and none is smaller than one before it. NaN stays NaN and counts
    for nothing.
    """
    values = np.asarray(p_values, np.float64)
    adjusted = np.full(len(values), np.nan)
    known = np.flatnonzero(np.isfinite(values))
    order = known[np.argsort(values[known], kind="stable")]
    scaled = values[order] * (len(order) - np.arange(len(order)))
    adjusted[order] = np.minimum(np.maximum.accumulate(scaled), 1) if len(order) else scaled
    return [float(value) for value in adjusted]


def _difference(areas: Array, sample: Array, counts: tuple[int, int]) -> Difference:
    a, b = (float(area) for area in areas)
    return Difference(a, b, a - b, interval(sample), bootstrap_p(sample), *counts)
