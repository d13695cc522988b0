"""The same figures for parts of the patients: sex, age band, view, source (docs/reference/metrics.md)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from xlip.metrics.kinds import KindTable, kind_table
from xlip.metrics.labelled_scores import LabelledScores

Array = np.ndarray[Any, Any]

UNKNOWN = "unknown"
"""How the value '' is shown."""


@dataclass(frozen=True)
class Subgroup(KindTable):
    """Areas and intervals on the cases with one value of one variable alone; the macro means are over `kinds`."""

    value: str
    images: int
    patients: int
    kinds: tuple[str, ...]
    """The kinds with enough cases in this subgroup."""
    whole_macro_auroc: float
    """Macro AUROC of all cases over the same kinds: what `macro_auroc` may be compared with."""


def subgroup_table(cases: LabelledScores, *, replicates: int = 1000, seed: int = 0) -> dict[str, tuple[Subgroup, ...]]:
    """Variable -> its subgroups, the known values sorted, then `unknown`.

    Which kinds have enough cases differs from subgroup to subgroup, so each macro mean stands beside that of all cases
    over the same kinds. A variable with a single value is left out: its subgroup is the whole set.

    Raises:
        XLIPError: a score is NaN or infinite.
    """
    whole = kind_table(cases.labels, cases.scores, cases.patients, replicates=1, seed=seed)
    return {
        name: tuple(_subgroup(cases, whole, rows, value, replicates, seed) for value, rows in groups)
        for name, groups in group_rows(cases.groups).items()
    }


def group_rows(groups: Mapping[str, Array]) -> dict[str, list[tuple[str, Array]]]:
    """Variable -> (value, (n,) bool) of each of its groups; a variable with a single value is left out.

    Known values are sorted, `unknown` is the last.
    """
    found = {}
    for name, values in groups.items():
        distinct = sorted(set(values.tolist()), key=lambda value: (value == "", value))
        if len(distinct) > 1:
            found[name] = [(value or UNKNOWN, values == value) for value in distinct]
    return found


def _subgroup(cases: LabelledScores, whole: KindTable, rows: Array, value: str, replicates: int, seed: int) -> Subgroup:
    patients = cases.patients[rows]
    table = kind_table(cases.labels[rows], cases.scores[rows], patients, replicates=replicates, seed=seed)
    enough = [place for place, kind in enumerate(table.per_kind) if kind.enough]
    same = [whole.per_kind[place].auroc for place in enough]
    return Subgroup(
        **vars(table),
        value=value,
        images=int(rows.sum()),
        patients=len(np.unique(patients)),
        kinds=tuple(cases.kinds[place] for place in enough),
        whole_macro_auroc=float(np.mean(same)) if same else float("nan"),
    )
