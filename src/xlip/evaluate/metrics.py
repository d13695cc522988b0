"""AUROC and AUPRC with patient bootstrap, over many kinds at once (PROTOCOLS 2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from xlip.errors import XLIPError

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


def auroc(labels: Array, scores: Array, weights: Array | None = None) -> Array:
    """Area under the ROC curve, ties counted half, for one or many weightings of the same cases.

    Args:
        labels: (n,) of 0 and 1.
        scores: (n,) finite.
        weights: (R, n) how often each case counts; default once.

    Returns:
        (R,); NaN where a class has no weight.

    Raises:
        XLIPError: a score is NaN or infinite.
    """
    if not np.isfinite(scores).all():
        raise XLIPError(f"scores: {int((~np.isfinite(scores)).sum())} of {scores.size} are not finite")
    weights = np.ones((1, len(labels))) if weights is None else weights
    # Equal scores form a block; a positive beats the negatives of the blocks below and half of its own block's.
    order = np.argsort(scores, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(scores[order]) > 0]) if len(order) else np.zeros(0, int)
    positive = np.add.reduceat((weights * (labels == 1))[:, order], starts, axis=1, dtype=np.float64)
    negative = np.add.reduceat((weights * (labels == 0))[:, order], starts, axis=1, dtype=np.float64)
    below = np.cumsum(negative, axis=1) - negative / 2
    wins, pairs = (positive * below).sum(1), positive.sum(1) * negative.sum(1)
    area: Array = np.divide(wins, pairs, out=np.full(len(weights), np.nan), where=pairs > 0)
    return area


def auprc(labels: Array, scores: Array) -> float:
    """Average precision, as scikit-learn defines it; NaN without a positive."""
    from sklearn.metrics import average_precision_score

    return float(average_precision_score(labels, scores)) if (labels == 1).any() else float("nan")


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
    counts = _patient_draws(patients, replicates, seed)
    measured, draws = [], []
    for kind in range(labels.shape[1]):
        known = labels[:, kind] >= 0
        truth, score = labels[known, kind], scores[known, kind]
        positives, negatives = int((truth == 1).sum()), int((truth == 0).sum())
        sample = auroc(truth, score, counts[:, known]) if positives and negatives else np.full(len(counts), np.nan)
        both = positives > 0 and negatives > 0
        area = float(auroc(truth, score)[0]) if both else float("nan")
        measured.append(KindMetrics(area, auprc(truth, score), positives, negatives, _interval(sample)))
        if min(positives, negatives) >= MIN_CASES:
            draws.append(sample)
    macro = np.stack(draws).mean(0) if draws else np.full(len(counts), np.nan)
    return measured, _interval(macro)


def macro(measured: list[KindMetrics]) -> float:
    """Mean AUROC over the kinds with at least `MIN_CASES` positives and negatives; NaN where there is none."""
    areas = [m.auroc for m in measured if min(m.positives, m.negatives) >= MIN_CASES]
    return float(np.mean(areas)) if areas else float("nan")


def _patient_draws(patients: Array, replicates: int, seed: int) -> Array:
    """(R, n) float32: how often each case counts in each replicate."""
    _, index = np.unique(patients, return_inverse=True)
    count = int(index.max()) + 1 if len(index) else 0
    rng = np.random.default_rng(seed)
    draws = rng.multinomial(count, np.full(count, 1 / max(count, 1)), size=replicates).astype(np.float32)
    return draws[:, index]


def _interval(sample: Array) -> tuple[float, float]:
    real = sample[np.isfinite(sample)]
    if not len(real):
        return float("nan"), float("nan")
    low, high = np.percentile(real, (2.5, 97.5))
    return float(low), float(high)
