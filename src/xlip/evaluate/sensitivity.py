"""How much the choice of prompts matters: the AUROC of each kind under each prompt set (PROTOCOLS 3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from xlip.evaluate.classification import over_views
from xlip.metrics.auroc import auroc
from xlip.metrics.kinds import MIN_CASES
from xlip.results.intervals import finite
from xlip.results.result import Predictions


def sensitivity(by_set: Mapping[str, Predictions], views: str = "") -> dict[str, Any]:
    """AUROC per kind and set, and their spread.

    Returns:
        `sets`: prompt set -> {macro_auroc, per_kind}; `spread`: kind -> largest less smallest AUROC; `macro_spread`:
        the same of the macro means, over kinds with at least 10 positives and negatives. None where nothing can be
        computed.
    """
    sets = {name: _areas(over_views(predictions, views)) for name, predictions in by_set.items()}
    kinds = next(iter(by_set.values())).kinds
    return {
        "sets": sets,
        "spread": {kind: _spread([areas["per_kind"][kind] for areas in sets.values()]) for kind in kinds},
        "macro_spread": _spread([areas["macro_auroc"] for areas in sets.values()]),
    }


def _areas(predictions: Predictions) -> dict[str, Any]:
    areas, enough = {}, []
    for index, kind in enumerate(predictions.kinds):
        known = predictions.labels[:, index] >= 0
        labels, scores = predictions.labels[known, index], predictions.scores[known, index]
        counts = [int((labels == state).sum()) for state in (0, 1)]
        area = float(auroc(labels, scores)[0]) if min(counts) else float("nan")
        areas[kind] = finite(area)
        if min(counts) >= MIN_CASES:
            enough.append(area)
    return {"macro_auroc": finite(float(np.mean(enough)) if enough else float("nan")), "per_kind": areas}


def _spread(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return max(known) - min(known) if known else None
