"""The cases of one kind that count: those with a label, whose scores must be numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from xlip.errors import XLIPError

Array = np.ndarray[Any, Any]


def known_cases(labels: Array, scores: Array) -> tuple[Array, Array]:
    """Truth (m,) bool and scores (m,) float64 of the cases whose label is 1 or 0; of a label of -1 nothing is known.

    Raises:
        XLIPError: the score of such a case is NaN or infinite.
    """
    known = labels >= 0
    kept = scores[known].astype(np.float64)
    bad = int((~np.isfinite(kept)).sum())
    if bad:
        raise XLIPError(f"scores: {bad} of {len(kept)} are not finite")
    return labels[known] == 1, kept
