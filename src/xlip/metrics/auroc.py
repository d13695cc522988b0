"""Area under the ROC and the precision-recall curve (PROTOCOLS 2)."""

from __future__ import annotations

from typing import Any

import numpy as np

from xlip.errors import XLIPError

Array = np.ndarray[Any, Any]


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
