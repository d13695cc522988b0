"""One kind's cases sorted once, so that the areas of many weightings of them (bootstrap replicates) are cheap."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from xlip.metrics.valid_cases import known_cases

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class RankedCases:
    """P positives and N negatives in ascending order of score, ties counted exactly.

    The columns say where a case finds its weight: the case itself, or its patient where weights are counted per
    patient, which is what keeps a bootstrap over patients small.
    """

    positives: Array
    """(P,) column of each positive."""
    negatives: Array
    """(N,) column of each negative."""
    below: Array
    """(P,) how many negatives score lower than each positive."""
    up_to: Array
    """(P,) how many negatives score lower or the same."""
    lesser: Array
    """(P,) how many positives score lower."""

    @classmethod
    def of(cls, labels: Array, scores: Array, columns: Array | None = None) -> Self:
        """Sort cases.

        Args:
            labels: (n,) of 1, 0 and, for cases that count neither way, -1.
            scores: (n,) finite where the label is 1 or 0.
            columns: (n,) column of each case in the weights; default its own place.

        Raises:
            XLIPError: a score is NaN or infinite.
        """
        truth, known = known_cases(labels, scores)
        columns = (np.arange(len(labels)) if columns is None else columns)[labels >= 0]
        order = np.argsort(known, kind="stable")
        sides = [order[truth[order] == side] for side in (True, False)]
        positive, negative = (known[side] for side in sides)
        return cls(
            columns[sides[0]],
            columns[sides[1]],
            np.searchsorted(negative, positive, "left"),
            np.searchsorted(negative, positive, "right"),
            np.searchsorted(positive, positive, "left"),
        )

    def auroc(self, weights: Array) -> Array:
        """Area under the ROC curve of each row of weights, ties counted half.

        Args:
            weights: (R, columns) how often each column counts; whole numbers give sums without rounding.

        Returns:
            (R,) float64; NaN where a class has no weight.
        """
        return self._auroc(np.take(weights, self.positives, axis=1), _cumulative(weights, self.negatives))

    def areas(self, weights: Array) -> tuple[Array, Array]:
        """`auroc`, and the area under the precision-recall curve as average precision, of each row of weights.

        Average precision is the mean, over the positives, of the precision at each one's score: what scikit-learn's
        `average_precision_score` sums by thresholds. NaN where no positive has weight.
        """
        positive, negative = np.take(weights, self.positives, axis=1), _cumulative(weights, self.negatives)
        hits = _cumulative(weights, self.positives)
        true = hits[:, -1:] - np.take(hits, self.lesser, axis=1)
        false = negative[:, -1:] - np.take(negative, self.below, axis=1)
        # A positive without weight may have nothing at or above it: 0 / 0, which then counts for nothing.
        precision = np.divide(true, true + false, out=np.zeros_like(true), where=positive > 0)
        return self._auroc(positive, negative), _ratio(_dot(positive, precision), hits[:, -1])

    def _auroc(self, positive: Array, negative: Array) -> Array:
        """From the weights of the positives (R, P) and the cumulative weights of the negatives (R, N + 1)."""
        beaten = np.take(negative, self.below, axis=1)
        beaten += np.take(negative, self.up_to, axis=1)
        return _ratio(_dot(positive, beaten) / 2, positive.sum(1, dtype=np.float64) * negative[:, -1])


@dataclass(frozen=True)
class RankedRuns:
    """The cases as several trainings of one model rank them: every figure is the mean of theirs, not the figure of
    their mean score (an ensemble, which is another and better model).
    """

    runs: tuple[RankedCases, ...]

    @classmethod
    def of(cls, labels: Array, scores: Array, columns: Array | None = None) -> Self:
        """As `RankedCases.of`, with scores (n,) or (runs, n)."""
        return cls(tuple(RankedCases.of(labels, run, columns) for run in np.atleast_2d(scores)))

    @property
    def counts(self) -> tuple[int, int]:
        """Positives and negatives."""
        return len(self.runs[0].positives), len(self.runs[0].negatives)

    def auroc(self, weights: Array) -> Array:
        """(R,) as `RankedCases.auroc`."""
        areas: Array = np.mean([run.auroc(weights) for run in self.runs], axis=0)
        return areas

    def areas(self, weights: Array) -> tuple[Array, Array]:
        """Twice (R,), as `RankedCases.areas`."""
        auroc, auprc = np.mean([run.areas(weights) for run in self.runs], axis=0)
        return auroc, auprc


def _cumulative(weights: Array, columns: Array) -> Array:
    """(R, m + 1) float64: the sum of the weights of the first 0, 1 ... m columns of a list."""
    sums = np.zeros((len(weights), len(columns) + 1))
    np.cumsum(np.take(weights, columns, axis=1), axis=1, out=sums[:, 1:])
    return sums


def _dot(left: Array, right: Array) -> Array:
    """Row by row."""
    product: Array = np.einsum("rp,rp->r", left, right, dtype=np.float64)
    return product


def _ratio(part: Array, whole: Array) -> Array:
    """NaN where the whole is nothing."""
    ratio: Array = np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)
    return ratio
