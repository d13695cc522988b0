"""What the figures over many kinds read: scores beside the truth, whoever made them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

Array = np.ndarray[Any, Any]


class Scored(Protocol):
    """Scores of one model for n cases and K kinds; `xlip.results.result.Predictions` is one."""

    @property
    def kinds(self) -> Sequence[str]:
        """Names of the kinds, (K,)."""

    @property
    def patients(self) -> Array:
        """(n,) ids of any sortable type."""

    @property
    def labels(self) -> Array:
        """(n, K) of 1, 0 and, for unknown or uncertain, -1."""

    @property
    def scores(self) -> Array:
        """(n, K) finite."""

    @property
    def groups(self) -> Mapping[str, Array]:
        """Name of a subgroup variable -> (n,) values, '' where unknown."""
