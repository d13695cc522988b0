"""Evaluations made of random scores, for tests."""

from __future__ import annotations

from typing import Any

import numpy as np

from xlip.results.classification import classification_figures
from xlip.results.figures import FIGURES
from xlip.results.result import Predictions, Result

KINDS = ("Effusion", "Mass", "Pleural_Thickening", "Hernia")
IDENTITY = {
    "checkpoint": "abc123",
    "split": "set/test:80:0123456789ab",
    "preprocessing": "letterbox/64",
    "prompts": "xlip@2",
}


def predictions(seed: int = 0, count: int = 80) -> Predictions:
    """Four kinds; the last has no positive, and some labels are unknown."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, (count, len(KINDS))).astype(np.int8)
    scores = np.clip(0.3 * labels + 0.7 * rng.random(labels.shape), 0, 1)
    labels[:, -1] = 0
    labels[:5, 1] = -1
    ids = tuple(f"set/{seed}/{number}" for number in range(count))
    groups = {"sex": np.array(["F", "M", "M", ""])[np.arange(count) % 4], "view": np.full(count, "PA")}
    return Predictions(KINDS, ids, np.arange(count) // 2, labels, scores, groups)


def result(*, validation: bool = False, evaluator: str = "zeroshot", **more: Any) -> Result:
    """As `xlip zeroshot` returns one; `more` are further figures."""
    test = predictions()
    figures = classification_figures(test, FIGURES[evaluator], dropped=1, replicates=20, **more)
    dropped = (("set/9", "the file is <b>damaged</b>"),)
    return Result(evaluator, IDENTITY, figures, test, predictions(1) if validation else None, dropped)
