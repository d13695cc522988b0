"""The ROC and the precision-recall curve of one kind: what is drawn, beside the areas in `auroc`."""

from __future__ import annotations

from typing import Any

import numpy as np

from xlip.metrics.valid_cases import known_cases

Array = np.ndarray[Any, Any]


def roc_curve(labels: Array, scores: Array) -> tuple[Array, Array]:
    """False and true positive rate from (0, 0) to (1, 1), a point for each distinct score, the highest first.

    Args:
        labels: (n,) of 1, 0 and, for cases that count neither way, -1; both classes.
        scores: (n,) finite.

    Returns:
        Twice (distinct scores + 1,).

    Raises:
        XLIPError: a score is NaN or infinite.
    """
    true, false = _counts(labels, scores)
    return np.append(0.0, false / false[-1]), np.append(0.0, true / true[-1])


def precision_recall_curve(labels: Array, scores: Array) -> tuple[Array, Array]:
    """Precision and recall, a point for each distinct score, recall rising from that of the highest to 1.

    Args:
        labels: (n,) of 1, 0 and, for cases that count neither way, -1; at least one positive.
        scores: (n,) finite.

    Returns:
        Twice (distinct scores,): nothing called positive has no precision, so the curve begins at the highest score.

    Raises:
        XLIPError: a score is NaN or infinite.
    """
    true, false = _counts(labels, scores)
    return true / (true + false), true / true[-1]


def _counts(labels: Array, scores: Array) -> tuple[Array, Array]:
    """How many positives and negatives score at least as high as each distinct score, the highest first."""
    truth, known = known_cases(labels, scores)
    order = np.argsort(-known, kind="stable")
    last = np.append(np.diff(known[order]) != 0, True)
    true = np.cumsum(truth[order])[last].astype(np.float64)
    return true, np.flatnonzero(last) + 1 - true
