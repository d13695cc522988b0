"""Abstention, typed: risk over coverage of every kind, by uncertain scores and by distance from the training images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from xlip.metrics.abstention import COVERAGES, score_confidence, selective_risk
from xlip.metrics.labelled_scores import Array, LabelledScores
from xlip.results.cohort import Decision
from xlip.results.typed import Interval, Number, Part, Share


class SelectiveFigures(Part):
    """One order of leaving cases undecided; see `xlip.metrics.abstention.SelectiveRisk`."""

    aurc: Share
    aurc_ci95: Interval
    risk_at_90: Share
    risk_at_90_ci95: Interval
    curve: tuple[Share, ...]
    """Risk at each of `Abstention.coverages`."""


class KindAbstention(Part):
    """One kind, decided at the threshold that `decisions` has for it."""

    risk: Share
    """Wrong decisions with nothing left undecided."""
    best_aurc: Share
    """Of an order that knows the wrong ones."""
    by_score: SelectiveFigures
    """Scores near the threshold stay undecided."""
    by_distance: SelectiveFigures | None = None
    """Images far from the training images stay undecided; None without a reference."""
    near_risk: Share = None
    """Wrong decisions among the images that the reference's own threshold calls near."""


class Distance(Part):
    """The reference that distances are from; what `xlip triage --reference` uses."""

    reference: str
    """Changes with its images, the weights and the threshold."""
    threshold: Number
    """Beyond it `xlip triage` does not judge an image."""
    chosen_on: str
    far: Share
    """Share of the tested cases that lie beyond it."""


class Abstention(Part):
    """All kinds of which the test holds both classes."""

    coverages: tuple[float, ...] = COVERAGES
    per_kind: dict[str, KindAbstention]
    distance: Distance | None = None

    def mean(self, way: str, name: str) -> float | None:
        """Mean over the kinds of `aurc` or `risk_at_90` of `by_score` or `by_distance`."""
        rows = [getattr(one, way) for one in self.per_kind.values()]
        values = [getattr(row, name) for row in rows if row is not None]
        known = [value for value in values if value is not None]
        return float(np.mean(known)) if known else None


def abstention(
    test: LabelledScores,
    decided: Mapping[str, Decision],
    distances: Array | None = None,
    near: Distance | None = None,
    *,
    replicates: int = 1000,
    seed: int = 0,
) -> Abstention:
    """Every kind that was decided.

    Args:
        test: scores beside the truth.
        decided: kind -> its threshold.
        distances: (n,) from the training images, where there is a reference.
        near: that reference.
        replicates: of the bootstrap over patients.
        seed: of the bootstrap.
    """
    probabilities = bool(((test.scores >= 0) & (test.scores <= 1)).all())
    options = {"replicates": replicates, "seed": seed}
    per_kind = {}
    for kind, decision in decided.items():
        place = list(test.kinds).index(kind)
        known = test.labels[:, place] >= 0
        scores, patients = test.scores[known, place], test.patients[known]
        assert decision.threshold is not None
        wrong = (scores >= decision.threshold) != (test.labels[known, place] == 1)
        trust = score_confidence(scores, decision.threshold, probabilities=probabilities)
        found = selective_risk(wrong, trust, patients, **options)
        more: dict[str, Any] = {}
        if distances is not None:
            far = distances[known]
            more["by_distance"] = SelectiveFigures.model_validate(
                _own(selective_risk(wrong, -far, patients, **options))
            )
            if near is not None and near.threshold is not None and (far <= near.threshold).any():
                more["near_risk"] = float(wrong[far <= near.threshold].mean())
        per_kind[kind] = KindAbstention(
            risk=found.risk,
            best_aurc=found.best_aurc,
            by_score=SelectiveFigures.model_validate(_own(found)),
            **more,
        )
    return Abstention(coverages=COVERAGES, per_kind=per_kind, distance=near if distances is not None else None)


def _own(found: object) -> dict[str, object]:
    return {name: value for name, value in vars(found).items() if name in SelectiveFigures.model_fields}
