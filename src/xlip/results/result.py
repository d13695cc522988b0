"""What every evaluator returns: scores beside the truth, figures, and all that makes them repeatable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from xlip import __version__
from xlip.results.figures import Classification, Figures

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Predictions:
    """Scores of one model for the kinds of one split, in the order of its cases."""

    kinds: tuple[str, ...]
    study_ids: tuple[str, ...]
    patients: Array
    """(n,) ids; intervals draw patients."""
    labels: Array
    """(n, K) int8: 1, 0, and -1 for unknown and uncertain."""
    scores: Array
    """(n, K) float64, finite; probabilities in [0, 1] for every evaluator that has them."""
    groups: Mapping[str, Array] = field(default_factory=dict)
    """Subgroup name (sex, age, view, source) -> (n,) values, '' where unknown."""
    any_finding: Array | None = None
    """(n,) int8: 1 a chest with some finding, 0 one without any, -1 unknown, by all labels of the set and not by those
    of `kinds` alone; None where nobody looked."""
    distances: Array | None = None
    """(n,) from the training images, see `xlip.explain.reference`; None without a reference."""


@dataclass(frozen=True)
class Result:
    """One evaluator on one data set, in memory or read from its folder."""

    evaluator: str
    """Its name in the registry."""
    identity: Mapping[str, str]
    """checkpoint, split (name:size:checksum), preprocessing, and prompts or seeds where they matter.

    The rule: docs/protocols.md.
    """
    figures: Figures
    """Of the class that `xlip.results.figures.FIGURES` names for the evaluator."""
    predictions: Predictions | None = None
    """None for evaluators that do not classify (retrieval, grounding)."""
    validation: Predictions | None = None
    """Of the validation split, where there is one: thresholds and temperatures are chosen on it, never on the test."""
    dropped: tuple[tuple[str, str], ...] = ()
    """(row, reason) of what could not be read."""
    seconds: float = 0.0
    version: str = __version__
    """Of the xlip that measured it; '' where an older one did not say."""
    readings: Mapping[str, Predictions] = field(default_factory=dict)
    """Zero-shot: the scores by the positive prompt alone (`pos`), the negative alone (`neg`), the pair (`pnc`) and
    'no X' (`no_x`), but for the one that `predictions` holds already."""

    @property
    def kinds(self) -> Classification | None:
        """The figures of the kinds; None where no kind was measured."""
        return self.figures if isinstance(self.figures, Classification) and self.figures.per_kind else None

    @property
    def macro_auroc(self) -> float:
        """Mean AUROC over the kinds with enough cases; NaN where there is none, or where nothing was classified."""
        value = self.kinds.macro_auroc if self.kinds else None
        return float("nan") if value is None else value
