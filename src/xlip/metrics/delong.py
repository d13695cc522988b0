"""DeLong's test of two AUROCs on the same cases."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from xlip.metrics.valid_cases import known_cases

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class DeLong:
    """Two AUROCs and the test of their difference; NaN where a class has fewer than two cases."""

    auc_a: float
    auc_b: float
    difference: float
    """a - b."""
    variance: float
    """Of the difference."""
    z: float
    p: float
    """Two-sided, from the normal distribution."""


def delong_test(labels: Array, scores_a: Array, scores_b: Array) -> DeLong:
    """Compare two AUROCs that were measured on the same cases.

    DeLong, DeLong and Clarke-Pearson 1988, with the structural components from ranks as in Sun and Xu 2014:
    O(n log n). Cases count as independent: where patients have several images, the variance is too small, and the
    patient bootstrap (`xlip.metrics.comparison`) is the one to trust. A variance of 0, as of scores in the same order,
    gives z = 0 and p = 1 when the areas are equal, and an infinite z and p = 0 when they are not.

    Args:
        labels: (n,) of 1, 0 and, for cases that count neither way, -1.
        scores_a: (n,) finite.
        scores_b: (n,) finite.

    Raises:
        XLIPError: a score is NaN or infinite.
    """
    positive_a, negative_a = structural_components(labels, scores_a)
    positive_b, negative_b = structural_components(labels, scores_b)
    count = min(len(positive_a), len(negative_a))
    area_a, area_b = (float(side.mean()) if count else math.nan for side in (positive_a, positive_b))
    if count < 2:
        return DeLong(area_a, area_b, area_a - area_b, math.nan, math.nan, math.nan)
    difference = area_a - area_b
    # The variance of a - b from the components of a - b: no cancellation of three nearly equal (co)variances.
    sides = positive_a - positive_b, negative_a - negative_b
    variance = float(sum(np.var(side, ddof=1) / len(side) for side in sides))
    z = _z(difference, variance)
    return DeLong(area_a, area_b, difference, variance, z, math.erfc(abs(z) / math.sqrt(2)))


def structural_components(labels: Array, scores: Array) -> tuple[Array, Array]:
    """DeLong's V10 (P,) and V01 (N,), in the order of the cases; the AUROC is the mean of either.

    V10 of a positive is the share of the negatives that score lower, V01 of a negative the share of the positives that
    score higher, ties counted half. Empty where the other class has no case.
    """
    truth, known = known_cases(labels, scores)
    positive, negative = known[truth], known[~truth]
    if not (len(positive) and len(negative)):
        return np.zeros(0), np.zeros(0)
    return _share_below(positive, negative), 1 - _share_below(negative, positive)


def _z(difference: float, variance: float) -> float:
    if variance > 0:
        return difference / math.sqrt(variance)
    return math.copysign(math.inf, difference) if difference else 0.0


def _share_below(values: Array, others: Array) -> Array:
    ordered = np.sort(others)
    share: Array = (np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right")) / (
        2 * len(others)
    )
    return share
