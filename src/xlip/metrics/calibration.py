"""Whether scores are probabilities: reliability, expected calibration error, temperature scaling (PROTOCOLS 2).

Labels and scores may be of one kind, (n,), or of many, (n, K), which are pooled; a label of -1 counts neither way.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from xlip.errors import XLIPError
from xlip.metrics.valid_cases import known_cases

Array = np.ndarray[Any, Any]

TEMPERATURES = (0.01, 100.0)
"""Bounds of a fitted temperature: of scores that part the classes perfectly the best one would be 0."""
_SMALLEST = 1e-12


def reliability(labels: Array, scores: Array, bins: int = 15) -> tuple[Array, Array, Array]:
    """Mean score, share of positives and number of cases of `bins` equally wide bins of the score.

    Bin b holds the scores in [b / bins, (b + 1) / bins); the last one holds 1 too.

    Returns:
        Three arrays (bins,): mean score and share of positives, NaN in an empty bin, and the counts.

    Raises:
        XLIPError: a score is not a number in [0, 1].
    """
    truth, known = known_cases(labels, scores)
    if not ((known >= 0) & (known <= 1)).all():
        raise XLIPError("calibration: expected probabilities in [0, 1]; turn the scores into probabilities first")
    # Compared with the bounds themselves: 15 * score would put some scores that equal a bound into the bin below.
    place = np.searchsorted(np.arange(1, bins) / bins, known, "right")
    count = np.bincount(place, minlength=bins)
    sums = [np.bincount(place, weights=values, minlength=bins) for values in (known, truth)]
    mean, share = (np.divide(total, count, out=np.full(bins, np.nan), where=count > 0) for total in sums)
    return mean, share, count


def expected_calibration_error(labels: Array, scores: Array, bins: int = 15) -> float:
    """Mean over the cases of |share of positives - mean score| of their bin; NaN without a case.

    Binary form of Guo et al. 2017, eq. 3, with the probability of the kind in place of the confidence of the
    predicted class.

    Raises:
        XLIPError: a score is not a number in [0, 1].
    """
    mean, share, count = reliability(labels, scores, bins)
    filled = count > 0
    if not filled.any():
        return float("nan")
    return float(np.average(np.abs(share - mean)[filled], weights=count[filled]))


def fit_temperature(labels: Array, logits: Array) -> float:
    """The temperature T within `TEMPERATURES` whose sigmoid(logits / T) has the least cross-entropy.

    To be fitted on validation scores and applied to test scores (Guo et al. 2017, section 4.2).

    Raises:
        XLIPError: a logit is not finite, or one of the two classes is missing.
    """
    truth, known = known_cases(labels, logits)
    if not (truth.any() and (~truth).any()):
        raise XLIPError(f"temperature: expected both classes among {len(truth)} known cases, found one")
    # The cross-entropy is convex in a = 1 / T and its slope, the mean of z (sigmoid(a z) - y), rises: bisect it.
    low, high = (1 / bound for bound in reversed(TEMPERATURES))
    for _ in range(60):
        middle = (low * high) ** 0.5
        if np.mean(known * (_sigmoid(middle * known) - truth)) > 0:
            high = middle
        else:
            low = middle
    return float(1 / middle)


def apply_temperature(logits: Array, temperature: float) -> Array:
    """Probabilities sigmoid(logits / temperature); their order, and so every AUROC, stays as it was."""
    return _sigmoid(np.asarray(logits, np.float64) / temperature)


def logits(probabilities: Array) -> Array:
    """log(p / (1 - p)), of p kept at least 1e-12 away from 0 and 1."""
    kept = np.clip(np.asarray(probabilities, np.float64), _SMALLEST, 1 - _SMALLEST)
    odds: Array = np.log(kept) - np.log1p(-kept)
    return odds


def _sigmoid(values: Array) -> Array:
    """Without overflow: exp of negative numbers only."""
    small = np.exp(-np.abs(values))
    result: Array = np.where(values >= 0, 1 / (1 + small), small / (1 + small))
    return result
