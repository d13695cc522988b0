"""Whether scores are probabilities: reliability, expected calibration error, temperature scaling.

The rule: docs/reference/metrics.md.

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


def fit_platt(labels: Array, logits: Array) -> tuple[float, float]:
    """Slope a >= 0 and offset b whose sigmoid(a logits + b) has the least cross-entropy (Platt 1999).

    As there, the targets are (n1 + 1) / (n1 + 2) and 1 / (n0 + 2) in place of 1 and 0, so that classes that are parted
    perfectly give a finite slope. A slope below 0 would turn the ranking round: then it is 0, and every score becomes
    the share of positives.

    Raises:
        XLIPError: a logit is not finite, or one of the two classes is missing.
    """
    truth, known = known_cases(labels, logits)
    positives = int(truth.sum())
    if not 0 < positives < len(truth):
        raise XLIPError(f"calibration: expected both classes among {len(truth)} known cases, found one")
    target = np.where(truth, (positives + 1) / (positives + 2), 1 / (len(truth) - positives + 2))
    centre, spread = float(known.mean()), float(known.std()) or 1.0
    design = np.stack([(known - centre) / spread, np.ones(len(known))], axis=1)
    weights = np.array([0.0, np.log(target.mean() / (1 - target.mean()))])
    loss = _cross_entropy(design @ weights, target)
    for _ in range(100):  # Newton's method with halved steps: the loss is convex in both
        share = _sigmoid(design @ weights)
        slope = design.T @ (share - target)
        curvature = (design * (share * (1 - share))[:, None]).T @ design + 1e-9 * np.eye(2)
        step = np.linalg.solve(curvature, slope)
        while (new := _cross_entropy(design @ (weights - step), target)) > loss and np.abs(step).max() > 1e-12:
            step = step / 2
        weights, loss = weights - step, new
        if np.abs(step).max() < 1e-9:
            break
    if weights[0] < 0:
        return 0.0, float(np.log(target.mean() / (1 - target.mean())))
    return float(weights[0] / spread), float(weights[1] - weights[0] * centre / spread)


def _cross_entropy(logits: Array, target: Array) -> float:
    return float(np.mean(np.logaddexp(0, logits) - target * logits))


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
