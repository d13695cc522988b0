"""AUROC and AUPRC of many kinds at once, with patient bootstrap intervals (docs/reference/metrics.md)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from xlip.metrics.bootstrap import interval, patient_draws, patient_numbers
from xlip.metrics.sorted_scores import RankedRuns

MIN_CASES = 10
"""A kind with fewer positives or negatives is left out of macro means."""
NO_INTERVAL = (float("nan"), float("nan"))
Array = np.ndarray[Any, Any]


def has_enough(positives: int, negatives: int) -> bool:
    """Whether a kind takes part in macro means: at least `MIN_CASES` of either class."""
    return min(positives, negatives) >= MIN_CASES


@dataclass(frozen=True)
class KindMetrics:
    """One kind's figures; NaN where a class is missing."""

    auroc: float
    auprc: float
    positives: int
    negatives: int
    ci95: tuple[float, float]
    """Of the AUROC: percentiles 2.5 and 97.5 over bootstrap replicates that resample patients."""
    auprc_ci95: tuple[float, float] = NO_INTERVAL
    """Of the AUPRC, from the same replicates."""

    @property
    def enough(self) -> bool:
        """See `has_enough`."""
        return has_enough(self.positives, self.negatives)


@dataclass(frozen=True)
class KindTable:
    """The figures of every kind, and their means over the kinds with enough cases; NaN where there is none."""

    per_kind: tuple[KindMetrics, ...]
    macro_auroc: float
    macro_ci95: tuple[float, float]
    macro_auprc: float
    macro_auprc_ci95: tuple[float, float]


def kind_table(labels: Array, scores: Array, patients: Array, *, replicates: int = 1000, seed: int = 0) -> KindTable:
    """Areas of every kind, their macro means, and the intervals of all of them from the same patient draws.

    Args:
        labels: (n, K) of 1, 0 and, for unknown or uncertain, -1.
        scores: (n, K) finite; or (runs, n, K) of several trainings, whose areas are averaged.
        patients: (n,) ids of any sortable type; the bootstrap draws patients, not images.
        replicates: bootstrap replicates.
        seed: of the bootstrap.

    Raises:
        XLIPError: a score is NaN or infinite.
    """
    numbers, count = patient_numbers(patients)
    ranked = [RankedRuns.of(labels[:, kind], scores[..., kind], numbers) for kind in range(labels.shape[1])]
    once = np.ones((1, count))
    areas = np.array([kind.areas(once) for kind in ranked]).reshape(-1, 2)
    sample = np.full((len(ranked), 2, replicates), np.nan)
    start = 0
    for weights in patient_draws(count, replicates, seed, cases=len(labels)):
        for kind, cases in enumerate(ranked):
            sample[kind, :, start : start + len(weights)] = cases.areas(weights)
        start += len(weights)
    return _table(ranked, areas, sample)


def _table(ranked: Sequence[RankedRuns], areas: Array, sample: Array) -> KindTable:
    """From areas (K, 2) and their replicates (K, 2, R), AUROC before AUPRC."""
    measured = []
    for cases, (auroc, auprc), (auroc_sample, auprc_sample) in zip(ranked, areas, sample, strict=True):
        intervals = interval(auroc_sample), interval(auprc_sample)
        measured.append(KindMetrics(float(auroc), float(auprc), *cases.counts, *intervals))
    enough = np.array([kind.enough for kind in measured], bool)
    if not enough.any():
        return KindTable(tuple(measured), np.nan, NO_INTERVAL, np.nan, NO_INTERVAL)
    auroc, auprc = areas[enough].mean(0)
    auroc_sample, auprc_sample = sample[enough].mean(0)
    return KindTable(tuple(measured), float(auroc), interval(auroc_sample), float(auprc), interval(auprc_sample))


def left_out_note(kinds: Sequence[str]) -> str:
    """What stands beside a macro mean that does without some kinds."""
    return f"Not in the macro mean, fewer than {MIN_CASES} positives or negatives: {', '.join(kinds)}"
