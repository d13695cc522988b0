"""What the figures over many kinds read: scores beside the truth, whoever made them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

Array = np.ndarray[Any, Any]


class LabelledScores(Protocol):
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


def both_classes(cases: LabelledScores) -> Iterator[tuple[str, Array, Array]]:
    """(kind, labels, scores) of the known cases of each kind that has positives and negatives."""
    for kind, labels, scores in zip(cases.kinds, cases.labels.T, cases.scores.T, strict=True):
        known = labels >= 0
        if 0 < labels[known].sum() < known.sum():
            yield kind, labels[known], scores[known]
