"""How much the choice of prompts matters: the AUROC of each kind under each prompt set (PROTOCOLS 3)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from xlip.evaluate.classification import over_views
from xlip.metrics.kinds import kind_table
from xlip.results.figures import PromptSetFigures, Sensitivity
from xlip.results.result import Predictions


def sensitivity(by_set: Mapping[str, Predictions], views: str = "") -> Sensitivity:
    """AUROC per kind and set, and their spread; macro means over kinds with at least 10 positives and negatives."""
    sets = {name: _areas(over_views(predictions, views)) for name, predictions in by_set.items()}
    kinds = next(iter(by_set.values())).kinds
    return Sensitivity(
        sets=sets,
        spread={kind: _spread(areas.per_kind[kind] for areas in sets.values()) for kind in kinds},
        macro_spread=_spread(areas.macro_auroc for areas in sets.values()),
    )


def _areas(predictions: Predictions) -> PromptSetFigures:
    cases = np.arange(len(predictions.labels))  # without an interval nothing depends on the patients
    table = kind_table(predictions.labels, predictions.scores, cases, replicates=1)
    areas = (one.auroc for one in table.per_kind)
    return PromptSetFigures(macro_auroc=table.macro_auroc, per_kind=dict(zip(predictions.kinds, areas, strict=True)))


def _spread(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return max(known) - min(known) if known else None
