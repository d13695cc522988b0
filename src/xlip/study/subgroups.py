"""The subgroups that figures are broken down by: sex, age band, view and source (docs/reference/metrics.md)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from xlip.study.record import Study

AGE_BANDS = ((18, "0-17"), (40, "18-39"), (60, "40-59"), (80, "60-79"), (200, "80+"))
"""Years below which a band ends, and its name."""


def subgroups(study: Study) -> dict[str, str]:
    """Subgroup -> its value, '' where unknown; the source is that of the image where the set was put together."""
    source = next((tag[7:] for tag in study.tags if tag.startswith("source:")), study.source)
    return {"sex": study.sex, "age": _age_band(study.age), "view": study.view, "source": source}


def group_columns(groups: Sequence[Mapping[str, str]]) -> dict[str, np.ndarray[Any, Any]]:
    """Subgroup -> (n,) values, for the subgroups that some study knows."""
    names = sorted({name for one in groups for name, value in one.items() if value})
    return {name: np.array([one.get(name, "") for one in groups]) for name in names}


def _age_band(age: float | None) -> str:
    return "" if age is None else next((name for end, name in AGE_BANDS if age < end), "")
