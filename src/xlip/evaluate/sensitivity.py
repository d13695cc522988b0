"""How much the choice of prompts matters: the AUROC of each kind under each prompt set.

The rule: docs/protocols.md, zero-shot scoring.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from xlip.evaluate.classification import over_views
from xlip.metrics.comparison import Difference, holm, paired_bootstrap
from xlip.metrics.kinds import kind_table
from xlip.results.figures import PromptSetFigures, PromptTest, Sensitivity
from xlip.results.result import Predictions


def sensitivity(
    by_set: Mapping[str, Predictions], views: str = "", *, replicates: int = 1000, seed: int = 0
) -> Sensitivity:
    """AUROC per kind and set, their spread, and every other set tested against the first.

    Macro means are over kinds with at least 10 positives and negatives; kinds with fewer are not tested.
    """
    merged = {name: over_views(predictions, views) for name, predictions in by_set.items()}
    sets = {name: _areas(predictions) for name, predictions in merged.items()}
    kinds = next(iter(by_set.values())).kinds
    return Sensitivity(
        sets=sets,
        spread={kind: _spread(areas.per_kind[kind] for areas in sets.values()) for kind in kinds},
        macro_spread=_spread(areas.macro_auroc for areas in sets.values()),
        tests=_tests(merged, replicates, seed),
    )


def _tests(merged: Mapping[str, Predictions], replicates: int, seed: int) -> tuple[PromptTest, ...]:
    first, *others = merged.values()
    rows: list[tuple[str, str, Difference]] = []
    for name, one in zip(list(merged)[1:], others, strict=True):
        options = {"replicates": replicates, "seed": seed}
        found = paired_bootstrap(one.labels, one.scores, first.scores, first.patients, **options)
        rows += [(name, kind, row) for kind, row in zip(first.kinds, found.per_kind, strict=True) if row.enough]
        rows.append((name, "", found.macro))
    adjusted = holm([row.p for _, _, row in rows])
    return tuple(
        PromptTest(prompts=name, kind=kind, difference=row.difference, ci95=row.ci95, p=row.p, p_holm=p)
        for (name, kind, row), p in zip(rows, adjusted, strict=True)
    )


def _areas(predictions: Predictions) -> PromptSetFigures:
    cases = np.arange(len(predictions.labels))  # without an interval nothing depends on the patients
    table = kind_table(predictions.labels, predictions.scores, cases, replicates=1)
    areas = (one.auroc for one in table.per_kind)
    return PromptSetFigures(macro_auroc=table.macro_auroc, per_kind=dict(zip(predictions.kinds, areas, strict=True)))


def _spread(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return max(known) - min(known) if known else None
