"""Labels as numbers, for tensors: a kind that nobody looked for is a state of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from xlip.study.record import UNCERTAIN

UNKNOWN, UNCERTAIN_CODE = -1, 2
"""Codes beside 0 = absent and 1 = present."""


def label_codes(labels: Sequence[Mapping[str, int]], kinds: Sequence[str]) -> np.ndarray[Any, Any]:
    """(n, K) int8: 1 present, 0 absent, 2 uncertain, -1 unknown."""
    codes = np.full((len(labels), len(kinds)), UNKNOWN, np.int8)
    for row, known in enumerate(labels):
        for column, kind in enumerate(kinds):
            if kind in known:
                codes[row, column] = UNCERTAIN_CODE if known[kind] == UNCERTAIN else known[kind]
    return codes
