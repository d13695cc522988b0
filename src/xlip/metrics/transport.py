"""A threshold, and a calibration, that were chosen on one set and are used on another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from xlip.errors import XLIPError
from xlip.metrics.bootstrap import interval, patient_draws, patient_numbers
from xlip.metrics.calibration import expected_calibration_error, logits
from xlip.metrics.valid_cases import known_cases

Array = np.ndarray[Any, Any]

THRESHOLD_GOALS = ("youden", "sensitivity 95", "specificity 95")
"""youden: the largest sensitivity + specificity (Youden 1950); the others: the threshold that reaches 95 % of the one
and loses least of the other."""
GOAL = 0.95
RIDGE = 1e-4
"""Of the recalibration: classes that scores part perfectly would have no finite slope."""


def operating_threshold(labels: Array, scores: Array, goal: str) -> float:
    """The threshold t of the decision `score >= t` that meets a goal; of several the highest.

    Args:
        labels: (n,) of 1, 0 and, for cases that count neither way, -1.
        scores: (n,) finite.
        goal: one of `THRESHOLD_GOALS`.

    Returns:
        One of the scores; infinity where only calling nothing present reaches the specificity.

    Raises:
        XLIPError: a class is missing, a score is not finite, or another goal.
    """
    truth, known = known_cases(labels, scores)
    if not (truth.any() and (~truth).any()):
        raise XLIPError(f"threshold: expected both classes among {len(truth)} known cases, found one")
    order = np.argsort(-known, kind="stable")
    ends = np.flatnonzero(np.r_[np.diff(known[order]) != 0, True])
    hits, passed = np.cumsum(truth[order])[ends], np.cumsum(~truth[order])[ends]
    present, absent = int(truth.sum()), int((~truth).sum())
    sensitivity, specificity = hits / present, (absent - passed) / absent
    thresholds = known[order][ends]
    if goal == "youden":  # in whole numbers, where equal sums are equal
        return float(thresholds[np.argmax(hits * absent - passed * present)])
    if goal == "sensitivity 95":
        return float(thresholds[np.flatnonzero(sensitivity >= GOAL)[0]])
    if goal == "specificity 95":
        fitting = np.flatnonzero(specificity >= GOAL)
        return float(thresholds[fitting[-1]]) if len(fitting) else float("inf")
    raise XLIPError(f"threshold: expected one of {', '.join(THRESHOLD_GOALS)}; got {goal!r}")


@dataclass(frozen=True)
class Carried:
    """What a threshold does on the set that it is used on; intervals are over its patients."""

    threshold: float
    sensitivity: float
    sensitivity_ci95: tuple[float, float]
    specificity: float
    specificity_ci95: tuple[float, float]


def carried(
    labels: Array, scores: Array, patients: Array, threshold: float, *, replicates: int = 1000, seed: int = 0
) -> Carried:
    """Sensitivity and specificity of `score >= threshold`; NaN where a class is missing.

    Raises:
        XLIPError: a score is not finite.
    """
    truth, known = known_cases(labels, scores)
    numbers, count = patient_numbers(patients[labels >= 0])
    said = known >= threshold
    cells = [
        np.bincount(numbers, weights=cell.astype(np.float64), minlength=count)
        for cell in (truth & said, truth, ~truth & ~said, ~truth)
    ]
    draws = patient_draws(count, replicates, seed, cases=len(known))
    sample = np.concatenate([np.zeros((4, 0)), *(np.stack([draw @ cell for cell in cells]) for draw in draws)], 1)
    whole = [cell.sum() for cell in cells]
    return Carried(
        float(threshold),
        _share(whole[0], whole[1]),
        interval(_shares(sample[0], sample[1])),
        _share(whole[2], whole[3]),
        interval(_shares(sample[2], sample[3])),
    )


@dataclass(frozen=True)
class Refit:
    """Slope and intercept refitted on some labelled cases; means over the draws of these, on the cases held out."""

    wanted: int
    fitted_on: float
    """Cases that they were: whole patients, so a few more than wanted; fewer where half of the set is less."""
    slope: float
    intercept: float
    ece: float
    ece_sd: float
    """Over the draws; NaN with one."""


@dataclass(frozen=True)
class Recalibration:
    """Whether scores are probabilities on another set, and what labels of it mend."""

    slope: float
    """Of the log odds of the truth over those of the score; 1 = calibrated."""
    intercept: float
    """0 = calibrated."""
    ece_before: float
    after: tuple[Refit, ...]
    """One per number of labelled cases."""
    draws: int


def recalibration(
    labels: Array,
    scores: Array,
    patients: Array,
    counts: Sequence[int],
    *,
    line: tuple[float, float] = (1.0, 0.0),
    draws: int = 10,
    seed: int = 0,
    bins: int = 15,
) -> Recalibration:
    """Calibration of probabilities before and after refitting slope and intercept (Cox 1958) on some labelled cases.

    In each draw the patients are put in a random order; the first half of the cases are there to be labelled, every
    figure is of the other half. A refit takes the first patients until `count` cases are there, so the points of the
    curve are measured on the same cases. NaN where a part lacks a class.

    Args:
        labels: (n,) of 1, 0 and, for cases that count neither way, -1.
        scores: (n,) in [0, 1].
        patients: (n,) ids.
        counts: how many labelled cases of the set to refit on.
        line: slope and intercept that the log odds are put through before, those of another set.
        draws: means are over these.
        seed: of the draws.
        bins: of the calibration error.

    Raises:
        XLIPError: a score is not a number in [0, 1].
    """
    truth, known = known_cases(labels, scores)
    expected_calibration_error(truth.astype(int), known, bins)  # refuses what is no probability
    numbers, people = patient_numbers(patients[labels >= 0])
    odds = line[0] * logits(known) + line[1]
    rng = np.random.default_rng(seed)
    parts = [_Halves.of(numbers, rng.permutation(people)) for _ in range(draws)]
    before = np.array([_before(truth, odds, part.held, bins) for part in parts])
    after = [_refit(truth, odds, parts, before, count, bins) for count in counts]
    slope, intercept, error = (float(value) for value in before.mean(0))
    return Recalibration(slope, intercept, error, tuple(after), draws)


@dataclass(frozen=True)
class _Halves:
    """One draw: the cases that may be labelled, in the order of their patients, and the cases that are held out."""

    pool: Array
    sizes: Array
    """(p,) cases of the patients of the pool, in order."""
    held: Array

    @classmethod
    def of(cls, numbers: Array, order: Array) -> _Halves:
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        cases = np.argsort(place[numbers], kind="stable")
        sizes = np.bincount(place[numbers], minlength=len(order))
        patients = int((np.cumsum(sizes) <= len(numbers) // 2).sum())
        half = int(sizes[:patients].sum())
        return cls(cases[:half], sizes[:patients], cases[half:])

    def first(self, count: int) -> Array:
        """Whole patients until at least `count` cases are there."""
        reached = np.cumsum(self.sizes)
        if not len(reached):
            return self.pool
        return self.pool[: reached[min(int(np.searchsorted(reached, count)), len(reached) - 1)]]


def _before(truth: Array, odds: Array, held: Array, bins: int) -> tuple[float, float, float]:
    """Slope, intercept and calibration error on the cases held out."""
    line = logistic_line(truth[held], odds[held]) if _both(truth[held]) else (float("nan"), float("nan"))
    return (*line, _error(truth[held], odds[held], bins))


def _refit(truth: Array, odds: Array, parts: Sequence[_Halves], before: Array, count: int, bins: int) -> Refit:
    """One point of the curve: (slope, intercept, error) of every draw whose labelled cases hold both classes."""
    found, sizes = [], []
    for part, (own_slope, own_intercept, _) in zip(parts, before, strict=True):
        chosen = part.first(count)
        sizes.append(len(chosen))
        if not _both(truth[chosen]):
            continue
        a, b = logistic_line(truth[chosen], odds[chosen])
        # If the truth follows s z + i, then of z' = a z + b it follows (s / a) z' + i - b s / a.
        ratio = own_slope / a if a else float("nan")
        found.append((ratio, own_intercept - b * ratio, _error(truth[part.held], a * odds[part.held] + b, bins)))
    size, none = float(np.mean(sizes)), float("nan")
    if not found:
        return Refit(count, size, none, none, none, none)
    slope, intercept, error = (float(value) for value in np.mean(found, 0))
    spread = float(np.std([error for *_, error in found], ddof=1)) if len(found) > 1 else float("nan")
    return Refit(count, size, slope, intercept, error, spread)


def _error(truth: Array, odds: Array, bins: int) -> float:
    return expected_calibration_error(truth.astype(int), 1 / (1 + np.exp(-np.clip(odds, -700, 700))), bins)


def _both(truth: Array) -> bool:
    return bool(truth.any() and not truth.all())


def logistic_line(truth: Array, odds: Array, steps: int = 100) -> tuple[float, float]:
    """Slope and intercept of the logistic regression of truth (n,) bool on odds (n,), by Newton's method.

    A ridge of 1e-4 n keeps the slope finite where the classes are parted perfectly. Steps that raise the loss are
    halved.
    """
    line, design = np.array([1.0, 0.0]), np.stack([odds, np.ones_like(odds)], 1)
    for _ in range(steps):
        values = np.clip(design @ line, -700, 700)
        chance = 1 / (1 + np.exp(-values))
        pull = RIDGE * len(odds) * np.array([line[0] - 1, 0.0])
        gradient = design.T @ (chance - truth) + pull
        weight = chance * (1 - chance)
        hessian = design.T @ (design * weight[:, None]) + RIDGE * len(odds) * np.diag([1.0, 1e-6])
        step, loss = np.linalg.solve(hessian, gradient), _loss(line, design, truth)
        share = 1.0
        while share > 1e-6 and _loss(line - share * step, design, truth) > loss:
            share /= 2
        line = line - share * step
        if np.abs(share * step).max() < 1e-10:
            break
    return float(line[0]), float(line[1])


def _loss(line: Array, design: Array, truth: Array) -> float:
    values = design @ line
    return float(np.logaddexp(0, np.where(truth, -values, values)).sum() + RIDGE * len(truth) * (line[0] - 1) ** 2 / 2)


def _share(part: float, whole: float) -> float:
    return float(part / whole) if whole else float("nan")


def _shares(part: Array, whole: Array) -> Array:
    shares: Array = np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)
    return shares
