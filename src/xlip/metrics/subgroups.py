"""The same figures for parts of the patients: sex, age band, view, source (PROTOCOLS 2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from xlip.metrics.kinds import KindTable, kind_table
from xlip.metrics.scored import Scored

Array = np.ndarray[Any, Any]

UNKNOWN = "unknown"
"""How the value '' is shown."""


@dataclass(frozen=True)
class Subgroup:
    """The cases with one value of one variable."""

    value: str
    images: int
    patients: int
    table: KindTable
    """Areas and intervals on these cases alone; its macro means are over `kinds`."""
    kinds: tuple[str, ...]
    """The kinds with enough cases in this subgroup."""
    whole_macro_auroc: float
    """Macro AUROC of all cases over the same kinds: what `table.macro_auroc` may be compared with."""


def subgroup_table(scored: Scored, *, replicates: int = 1000, seed: int = 0) -> dict[str, tuple[Subgroup, ...]]:
    """Variable -> its subgroups, the known values sorted, then `unknown`.

    Which kinds have enough cases differs from subgroup to subgroup, so each macro mean stands beside that of all cases
    over the same kinds. A variable with a single value is left out: its subgroup is the whole set.

    Raises:
        XLIPError: a score is NaN or infinite.
    """
    whole = kind_table(scored.labels, scored.scores, scored.patients, replicates=1, seed=seed)
    tables = {}
    for name, values in scored.groups.items():
        distinct = sorted(set(values.tolist()), key=lambda value: (value == "", value))
        if len(distinct) > 1:
            tables[name] = tuple(
                _subgroup(scored, whole, values == value, value, replicates, seed) for value in distinct
            )
    return tables


def _subgroup(scored: Scored, whole: KindTable, rows: Array, value: str, replicates: int, seed: int) -> Subgroup:
    patients = scored.patients[rows]
    table = kind_table(scored.labels[rows], scored.scores[rows], patients, replicates=replicates, seed=seed)
    enough = [place for place, kind in enumerate(table.per_kind) if kind.enough]
    same = [whole.per_kind[place].auroc for place in enough]
    return Subgroup(
        value=value or UNKNOWN,
        images=int(rows.sum()),
        patients=len(np.unique(patients)),
        table=table,
        kinds=tuple(scored.kinds[place] for place in enough),
        whole_macro_auroc=float(np.mean(same)) if same else float("nan"),
    )
