"""AUROC and AUPRC of many kinds at once, with patient bootstrap intervals (PROTOCOLS 2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from xlip.metrics.auroc import auprc, auroc
from xlip.metrics.bootstrap import interval, patient_draws

MIN_CASES = 10
"""A kind with fewer positives or negatives is left out of macro means."""
Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class KindMetrics:
    """One kind's figures; NaN where a class is missing."""

    auroc: float
    auprc: float
    positives: int
    negatives: int
    ci95: tuple[float, float]
    """Of the AUROC: percentiles 2.5 and 97.5 over bootstrap replicates that resample patients."""


def evaluate_kinds(
    labels: Array, scores: Array, patients: Array, *, replicates: int = 1000, seed: int = 0
) -> tuple[list[KindMetrics], tuple[float, float]]:
    """Metrics of every kind, and the interval of the macro AUROC.

    Args:
        labels: (n, K) of 1, 0 and, for unknown or uncertain, -1.
        scores: (n, K).
        patients: (n,) any hashable ids; the bootstrap draws patients, not images.
        replicates: bootstrap replicates.
        seed: of the bootstrap.
    """
    counts = patient_draws(patients, replicates, seed)
    measured, draws = [], []
    for kind in range(labels.shape[1]):
        known = labels[:, kind] >= 0
        truth, score = labels[known, kind], scores[known, kind]
        positives, negatives = int((truth == 1).sum()), int((truth == 0).sum())
        sample = auroc(truth, score, counts[:, known]) if positives and negatives else np.full(len(counts), np.nan)
        both = positives > 0 and negatives > 0
        area = float(auroc(truth, score)[0]) if both else float("nan")
        measured.append(KindMetrics(area, auprc(truth, score), positives, negatives, interval(sample)))
        if min(positives, negatives) >= MIN_CASES:
            draws.append(sample)
    macro = np.stack(draws).mean(0) if draws else np.full(len(counts), np.nan)
    return measured, interval(macro)


def macro(measured: list[KindMetrics]) -> float:
    """Mean AUROC over the kinds with at least `MIN_CASES` positives and negatives; NaN where there is none."""
    areas = [m.auroc for m in measured if min(m.positives, m.negatives) >= MIN_CASES]
    return float(np.mean(areas)) if areas else float("nan")
