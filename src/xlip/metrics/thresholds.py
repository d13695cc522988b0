"""Figures of decisions: F1, accuracy and MCC under three named threshold rules (docs/reference/metrics.md)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from xlip.errors import XLIPError
from xlip.metrics.kinds import has_enough
from xlip.metrics.labelled_scores import LabelledScores
from xlip.metrics.valid_cases import known_cases

Array = np.ndarray[Any, Any]

THRESHOLD_RULES = ("val", "oracle", "0.5")
"""Where a kind's threshold comes from.

val: the largest F1 on the validation split; the rule to report.
oracle: the largest F1 on the test split itself, as many published tables have it; too good by construction.
0.5: one half, for scores that are probabilities.
"""


PREFERRED = ("val", "0.5", "oracle")
"""The rules from the one to report to the one that is never fair."""


@dataclass(frozen=True)
class ThresholdMetrics:
    """One kind when every score of at least `threshold` counts as present; NaN for what cannot be computed."""

    threshold: float
    f1: float
    accuracy: float
    mcc: float
    """Matthews correlation coefficient; 0 where every case got the same decision."""
    sensitivity: float
    specificity: float
    tp: int
    fp: int
    fn: int
    tn: int

    @property
    def enough(self) -> bool:
        """See `has_enough`."""
        return has_enough(self.tp + self.fn, self.fp + self.tn)


def choose_threshold(labels: Array, scores: Array) -> float:
    """The score at which calling it and all above present gives the largest F1; of several the highest.

    Args:
        labels: (n,) of 1, 0 and, for cases that count neither way, -1.
        scores: (n,) finite.

    Raises:
        XLIPError: no case is positive, or a score is not finite.
    """
    truth, known = known_cases(labels, scores)
    if not truth.any():
        raise XLIPError(f"threshold: expected a positive case among {len(truth)} known ones, found none")
    order = np.argsort(-known, kind="stable")
    ends = np.flatnonzero(np.r_[np.diff(known[order]) != 0, True])
    hits = np.cumsum(truth[order])[ends]
    f1 = 2 * hits / (ends + 1 + truth.sum())
    return float(known[order][ends[np.argmax(f1)]])


def at_threshold(labels: Array, scores: Array, threshold: float) -> ThresholdMetrics:
    """Counts and figures of the decision `score >= threshold`, labels and scores as in `choose_threshold`.

    Raises:
        XLIPError: a score is not finite.
    """
    truth, known = known_cases(labels, scores)
    said = known >= threshold
    tp, fp, fn, tn = (int(np.sum(cell)) for cell in (truth & said, ~truth & said, truth & ~said, ~truth & ~said))
    return ThresholdMetrics(
        float(threshold),
        f1=_ratio(2 * tp, 2 * tp + fp + fn),
        accuracy=_ratio(tp + tn, tp + fp + fn + tn),
        mcc=_mcc(tp, fp, fn, tn),
        sensitivity=_ratio(tp, tp + fn),
        specificity=_ratio(tn, tn + fp),
        tp=tp,
        fp=fp,
        fn=fn,
        tn=tn,
    )


def threshold_table(
    test: LabelledScores, validation: LabelledScores | None = None
) -> dict[str, dict[str, ThresholdMetrics]]:
    """Kind -> rule -> figures on the test split.

    A rule is missing for a kind where it gives no threshold: `val` without validation scores or without a positive
    among them, `oracle` without a positive in the test split, `0.5` where a score lies outside [0, 1].

    Raises:
        XLIPError: a score is not finite.
    """
    rows = {}
    for column, kind in enumerate(test.kinds):
        labels, scores = test.labels[:, column], test.scores[:, column]
        thresholds = {"oracle": _chosen(labels, scores), "0.5": _half(labels, scores)}
        if validation is not None and kind in validation.kinds:
            place = list(validation.kinds).index(kind)
            thresholds["val"] = _chosen(validation.labels[:, place], validation.scores[:, place])
        found = {rule: thresholds.get(rule) for rule in THRESHOLD_RULES}
        rows[kind] = {rule: at_threshold(labels, scores, value) for rule, value in found.items() if value is not None}
    return rows


def threshold_means(table: Mapping[str, Mapping[str, ThresholdMetrics]]) -> dict[str, dict[str, float]]:
    """Rule -> mean f1, accuracy, mcc, sensitivity and specificity over the kinds with enough cases.

    A rule is missing where it has no such kind.
    """
    names = [item.name for item in fields(ThresholdMetrics) if item.name not in ("threshold", "tp", "fp", "fn", "tn")]
    means = {}
    for rule in THRESHOLD_RULES:
        rows = [figures[rule] for figures in table.values() if rule in figures and figures[rule].enough]
        if rows:
            means[rule] = {name: float(np.mean([getattr(row, name) for row in rows])) for name in names}
    return means


def _chosen(labels: Array, scores: Array) -> float | None:
    return choose_threshold(labels, scores) if (labels == 1).any() else None


def _half(labels: Array, scores: Array) -> float | None:
    _, known = known_cases(labels, scores)
    return 0.5 if ((known >= 0) & (known <= 1)).all() else None


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else math.nan


def _mcc(tp: int, fp: int, fn: int, tn: int) -> float:
    if not (tp + fn and tn + fp):
        return math.nan
    product = (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)  # of Python's integers, which do not overflow
    return (tp * tn - fp * fn) / math.sqrt(product) if product else 0.0
