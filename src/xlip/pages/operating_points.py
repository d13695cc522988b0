"""Decisions at named thresholds: which rule a page leads with, and the table of all rules.

The rule: docs/reference/metrics.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from xlip.metrics.labelled_scores import both_classes

if TYPE_CHECKING:
    from xlip.metrics.thresholds import ThresholdMetrics
    from xlip.results.result import Predictions

RULES = {
    "val": "the threshold with the greatest F1 on the validation split",
    "0.5": "the fixed threshold 0.5",
    "oracle": "the threshold with the greatest F1 on the test images themselves: optimistic, never a fair result",
}
"""In the order of preference."""


@dataclass(frozen=True)
class OperatingPoints:
    """Each kind's decisions under each rule that its data allow."""

    table: Mapping[str, Mapping[str, ThresholdMetrics]]
    """Kind -> rule -> figures; kinds with both classes alone."""

    @property
    def rule(self) -> str:
        """The rule that all kinds have and that a page leads with: `val`, and `0.5` without validation scores."""
        return next(rule for rule in RULES if all(rule in rules for rules in self.table.values()))

    def chosen(self) -> dict[str, ThresholdMetrics]:
        """Kind -> figures under `rule`."""
        return {kind: rules[self.rule] for kind, rules in self.table.items()}

    def rows(self) -> Iterator[tuple[str, str, ThresholdMetrics]]:
        """(kind, rule, figures), every kind's rules in the order of `RULES`."""
        for kind, rules in self.table.items():
            for rule in RULES:
                if rule in rules:
                    yield kind, rule, rules[rule]


def operating_points(test: Predictions, validation: Predictions | None) -> OperatingPoints | None:
    """All rules for all kinds of which the test data hold both classes; None where there is no such kind."""
    from xlip.metrics.thresholds import threshold_table

    table = threshold_table(test, validation)
    shown = {kind: table[kind] for kind, _, _ in both_classes(test)}
    return OperatingPoints(shown) if shown else None


def are_probabilities(predictions: Predictions) -> bool:
    """Whether every score lies in [0, 1], so that 0.5 and calibration mean something."""
    return bool(((predictions.scores >= 0) & (predictions.scores <= 1)).all())
