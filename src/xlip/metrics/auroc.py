"""Area under the ROC and the precision-recall curve (docs/reference/metrics.md)."""

from __future__ import annotations

from typing import Any

import numpy as np

from xlip.metrics.sorted_scores import RankedCases

Array = np.ndarray[Any, Any]


def auroc(labels: Array, scores: Array, weights: Array | None = None) -> Array:
    """Area under the ROC curve, ties counted half, for one or many weightings of the same cases.

    Args:
        labels: (n,) of 1, 0 and, for cases that count neither way, -1.
        scores: (n,) finite.
        weights: (R, n) how often each case counts; default once.

    Returns:
        (R,); NaN where a class has no weight.

    Raises:
        XLIPError: a score is NaN or infinite.
    """
    return RankedCases.of(labels, scores).auroc(_once(labels) if weights is None else weights)


def auprc(labels: Array, scores: Array) -> float:
    """Area under the precision-recall curve as average precision, labels and scores as in `auroc`.

    It is scikit-learn's `average_precision_score`, a step function without interpolation; NaN without a positive.
    """
    return float(RankedCases.of(labels, scores).areas(_once(labels))[1][0])


def mean_auroc(labels: Array, scores: Array) -> float:
    """Mean AUROC over the kinds (columns) that have both classes, however few cases; NaN where none has.

    For choosing, not for reporting: a macro mean is over the kinds with enough cases (`kind_table`).
    """
    areas = [auroc(truth, column)[0] for truth, column in zip(labels.T, scores.T, strict=True)]
    return float(np.nanmean(areas)) if np.isfinite(areas).any() else float("nan")


def _once(labels: Array) -> Array:
    return np.ones((1, len(labels)))
