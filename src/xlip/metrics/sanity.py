"""Checks that every evaluation can run on itself, to catch inverted prompts and mistaken pairings.

The rule: docs/reference/metrics.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from xlip.metrics.auroc import auroc
from xlip.metrics.bootstrap import interval
from xlip.metrics.labelled_scores import LabelledScores
from xlip.metrics.valid_cases import known_cases

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class PermutedLabels:
    """Macro AUROC when each kind's known labels are shuffled."""

    macro_auroc: float
    """Mean over the shuffles."""
    ci95: tuple[float, float]
    """Percentiles 2.5 and 97.5 over the shuffles."""

    @property
    def holds(self) -> bool:
        """Whether one half lies in the interval."""
        return self.ci95[0] <= 0.5 <= self.ci95[1]


@dataclass(frozen=True)
class SwappedPrompts:
    """AUROC with positive and negative prompts exchanged, against 1 - AUROC."""

    largest_deviation: float
    """Largest |AUROC - (1 - swapped AUROC)| over the kinds; NaN where no kind has both classes."""
    kind: str
    """Where that is."""
    tolerance: float

    @property
    def holds(self) -> bool:
        """Whether no kind is further off than the tolerance."""
        return self.largest_deviation <= self.tolerance


def permuted_labels(scored: LabelledScores, *, permutations: int = 200, seed: int = 0) -> PermutedLabels:
    """Shuffle the labels: macro AUROC has to be 0.5 within its interval, or the measuring itself is at fault.

    Every kind with both classes takes part, however few its cases. NaN, which does not hold, where there is none.

    Raises:
        XLIPError: a score is NaN or infinite.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for column in range(len(scored.kinds)):
        truth, known = known_cases(scored.labels[:, column], scored.scores[:, column])
        if truth.any() and not truth.all():
            rows.append(_shuffled(truth, known, permutations, rng))
    macro = np.mean(rows, axis=0) if rows else np.full(permutations, np.nan)
    return PermutedLabels(float(macro.mean()), interval(macro))


def swapped_prompts(scored: LabelledScores, swapped: Array, *, tolerance: float = 1e-3) -> SwappedPrompts:
    """Compare with the scores (n, K) that the same images get when positive and negative prompts change places.

    The tolerance leaves room for scores next to 1, where neighbours fall together that are apart next to 0.

    Raises:
        XLIPError: a score is NaN or infinite.
    """
    largest, where = float("nan"), ""
    for column, kind in enumerate(scored.kinds):
        labels = scored.labels[:, column]
        ours, theirs = (float(auroc(labels, scores[:, column])[0]) for scores in (scored.scores, swapped))
        off = abs(ours - (1 - theirs))
        if np.isfinite(off) and not off <= largest:
            largest, where = off, kind
    return SwappedPrompts(largest, where, tolerance)


def _shuffled(truth: Array, scores: Array, permutations: int, rng: np.random.Generator) -> Array:
    """(permutations,) AUROCs: from the ranks of the positives (Mann and Whitney), which a shuffle draws at random."""
    _, place, count = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(count) - (count - 1) / 2)[place]
    positives = int(truth.sum())
    sums = np.array([ranks[rng.permutation(len(ranks))[:positives]].sum() for _ in range(permutations)])
    areas: Array = (sums - positives * (positives + 1) / 2) / (positives * (len(ranks) - positives))
    return areas
