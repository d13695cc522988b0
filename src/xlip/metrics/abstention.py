"""Selective classification: how many decisions are wrong when the least trusted cases are left undecided."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from xlip.errors import XLIPError
from xlip.metrics.bootstrap import interval, patient_draws, patient_numbers
from xlip.metrics.calibration import logits

Array = np.ndarray[Any, Any]

COVERAGE = 0.9
"""Share of the cases that is decided at the one point of the curve that has a figure of its own."""
COVERAGES = tuple(round(0.05 * step, 2) for step in range(1, 21))
"""Where the curve is kept."""
MOST_GROUPS = 500
"""In the bootstrap, neighbours in trust are taken as equally trusted until no more groups than these are left."""


@dataclass(frozen=True)
class SelectiveRisk:
    """The curve of one kind; NaN where there is no case."""

    risk: float
    """Share of wrong decisions when every case is decided."""
    aurc: float
    """Mean of the risk over all coverages 1/n ... n/n (Geifman and El-Yaniv 2017): smaller is better."""
    aurc_ci95: tuple[float, float]
    best_aurc: float
    """Of an order that leaves out every wrong decision first: the least that is possible with these decisions."""
    risk_at_90: float
    """With the least trusted tenth left undecided."""
    risk_at_90_ci95: tuple[float, float]
    curve: tuple[float, ...]
    """Risk at each of `COVERAGES`."""


def selective_risk(
    wrong: Array, confidence: Array, patients: Array, *, replicates: int = 1000, seed: int = 0
) -> SelectiveRisk:
    """Risk over coverage when the cases of the least confidence stay undecided.

    Cases of equal confidence are taken in every order alike: figures are means over their orders, exactly.

    Args:
        wrong: (n,) bool, whether the decision on each case is wrong.
        confidence: (n,) how much each decision is trusted; infinite is allowed, NaN is not.
        patients: (n,) ids of any sortable type; intervals draw patients.
        replicates: of the bootstrap.
        seed: of the bootstrap.

    Raises:
        XLIPError: a confidence is NaN.
    """
    if np.isnan(confidence).any():
        raise XLIPError(f"abstention: {int(np.isnan(confidence).sum())} of {len(confidence)} confidences are no number")
    if not len(wrong):
        none = float("nan")
        return SelectiveRisk(none, none, (none, none), none, none, (none, none), (none,) * len(COVERAGES))
    numbers, count = patient_numbers(patients)
    cases, once = _Trusted.of(wrong, confidence, numbers), np.ones((1, count))
    best = _Trusted.of(wrong, -wrong.astype(float), numbers)
    whole, coarse = cases.sums(once), cases.coarser(MOST_GROUPS)
    draws = patient_draws(count, replicates, seed, cases=len(wrong))
    sample = np.concatenate([np.zeros((2, 0)), *(np.stack(coarse.sums(one).figures()) for one in draws)], 1)
    return SelectiveRisk(
        float(np.mean(wrong)),
        float(whole.aurc()[0]),
        interval(sample[0]),
        float(best.sums(once).aurc()[0]),
        float(whole.at(COVERAGE)[0]),
        interval(sample[1]),
        tuple(float(whole.at(coverage)[0]) for coverage in COVERAGES),
    )


def score_confidence(scores: Array, threshold: float, *, probabilities: bool) -> Array:
    """How far scores (n,) lie from the threshold of the decision: (n,), >= 0, small = uncertain.

    Of probabilities, the distance of their log odds, so that 0.5 and 0.9 are as far apart as 0.1 and 0.5.
    """
    if probabilities:
        return np.asarray(np.abs(logits(scores) - logits(np.array(threshold))), np.float64)
    return np.asarray(np.abs(scores.astype(np.float64) - threshold), np.float64)


@dataclass(frozen=True)
class _Trusted:
    """Cases from the most to the least trusted; those of equal confidence form one group."""

    columns: Array
    """(n,) the patient of each case."""
    wrong: Array
    """(n,) float."""
    ends: Array
    """(G,) the last case of each group."""

    @classmethod
    def of(cls, wrong: Array, confidence: Array, columns: Array) -> Self:
        order = np.argsort(-confidence, kind="stable")
        trusted = confidence[order]
        ends = np.flatnonzero(np.r_[trusted[1:] != trusted[:-1], True])
        return cls(columns[order], wrong[order].astype(np.float64), ends)

    def coarser(self, most: int) -> Self:
        """At most so many groups, of about as many cases each."""
        if len(self.ends) <= most:
            return self
        wanted = np.linspace(0, len(self.wrong), most + 1)[1:] - 1
        return replace(self, ends=np.unique(self.ends[np.searchsorted(self.ends, wanted)]))

    def sums(self, weights: Array) -> _Sums:
        """What R weightings (R, patients) of the patients, in whole numbers, leave up to the end of each group."""
        each = np.take(weights, self.columns, axis=1)
        both = np.zeros((2, len(weights), len(self.ends) + 1))
        starts = np.r_[0, self.ends[:-1] + 1]
        for place, values in enumerate((each, each * self.wrong)):
            np.cumsum(np.add.reduceat(values, starts, axis=1), axis=1, out=both[place, :, 1:])
        return _Sums(both[0], both[1])


@dataclass(frozen=True)
class _Sums:
    """Cases, and wrong ones among them, up to each group's end: (R, G + 1), 0 first."""

    cases: Array
    wrong: Array

    def figures(self) -> tuple[Array, Array]:
        """Twice (R,): the area, and the risk at `COVERAGE`."""
        return self.aurc(), self.at(COVERAGE)

    def aurc(self) -> Array:
        """(R,).

        Within a group of g cases, r g of them wrong, after k cases with e wrong ones, the risk after j more is
        (e + j r) / (k + j) = r + (e - k r) / (k + j) on average; summed over j that is r g + (e - k r) (H(k + g) -
        H(k)) with the harmonic numbers H.
        """
        total = self.cases[:, -1]
        harmonic = np.r_[0.0, np.cumsum(1 / np.arange(1, int(total.max()) + 1))]
        size, failed = np.diff(self.cases, axis=1), np.diff(self.wrong, axis=1)
        share = np.divide(failed, size, out=np.zeros_like(size), where=size > 0)
        reached = harmonic[self.cases.astype(np.int64)]
        areas = (failed + (self.wrong[:, :-1] - self.cases[:, :-1] * share) * np.diff(reached, axis=1)).sum(1)
        mean: Array = np.divide(areas, total, out=np.full(len(total), np.nan), where=total > 0)
        return mean

    def at(self, coverage: float) -> Array:
        """(R,) risk of the ceil(coverage n) most trusted cases."""
        # A product that should be whole may lie a little above it: 0.9 * 10 would then be ten cases.
        wanted = np.ceil(coverage * self.cases[:, -1] - 1e-9)
        found = [
            np.interp(limit, row, failed) / limit if limit else np.nan
            for limit, row, failed in zip(wanted, self.cases, self.wrong, strict=True)
        ]
        return np.array(found)
