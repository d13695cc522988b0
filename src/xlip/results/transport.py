"""From set to set: thresholds and calibration chosen on one set and used on every other (`transport.json`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from xlip.files import write_json
from xlip.metrics.calibration import logits
from xlip.metrics.kinds import has_enough
from xlip.metrics.transport import GOAL, THRESHOLD_GOALS, carried, logistic_line, operating_threshold, recalibration
from xlip.results.result import Array, Predictions
from xlip.results.typed import Count, Interval, Number, Part, Share, Truth

TRANSPORT_NAME = "transport.json"
REFITTED_ON = (25, 50, 100, 200)
"""Labelled images of the other set that the calibration is refitted on."""


class CarriedFigures(Part):
    """A threshold of one set on another."""

    threshold: Number
    sensitivity: Share
    sensitivity_ci95: Interval
    specificity: Share
    specificity_ci95: Interval
    carries: Truth | None = None
    """Whether the interval of what was to be 95 % reaches 95 %; None for Youden's threshold, which has no such aim."""


class RefitFigures(Part):
    """One number of labelled images; see `xlip.metrics.transport.Refit`."""

    wanted: Count
    fitted_on: float
    slope: Number
    intercept: Number
    ece: Share
    ece_sd: Number


class CalibrationFigures(Part):
    """Scores as probabilities on the other set; see `xlip.metrics.transport.Recalibration`."""

    calibrated_on: str
    """The set whose slope and intercept the scores went through before; '' = none, they are the model's own."""
    slope: Number
    intercept: Number
    ece_before: Share
    after: tuple[RefitFigures, ...]
    draws: Count


class KindTransport(Part):
    """One kind from one set to another (or, for comparison, the same one)."""

    thresholds: dict[str, CarriedFigures]
    """Goal -> what became of it."""
    calibration: CalibrationFigures | None = None
    """None where scores are no probabilities."""
    positives: Count
    negatives: Count


class PairTransport(Part):
    """One set to another."""

    chosen_on: str
    used_on: str
    kinds: dict[str, KindTransport]
    """Those that have at least 10 images with and without them in both sets."""

    def mean(self, goal: str, name: str) -> float | None:
        """Mean over the kinds of sensitivity or specificity under a goal."""
        values = [getattr(one.thresholds[goal], name) for one in self.kinds.values()]
        known = [value for value in values if value is not None]
        return float(np.mean(known)) if known else None


class Transport(Part):
    """The content of `transport.json`."""

    schema_version: Count = 2
    """2 has a curve of refits; 1 had one."""
    identity: dict[str, str]
    """Of the model and its prompts."""
    splits: dict[str, str]
    """Set -> split id."""
    pairs: tuple[PairTransport, ...]

    def carries(self, goal: str) -> tuple[int, int]:
        """How many thresholds keep their goal on another set, of how many."""
        said = [
            one.thresholds[goal].carries
            for pair in self.pairs
            for one in pair.kinds.values()
            if pair.chosen_on != pair.used_on
        ]
        return sum(bool(value) for value in said), len(said)


def transport(
    sets: Mapping[str, Predictions],
    splits: Mapping[str, str],
    identity: Mapping[str, str],
    *,
    refit: Sequence[int] = REFITTED_ON,
    replicates: int = 1000,
    seed: int = 0,
) -> Transport:
    """All ordered pairs of sets, and each set on itself for comparison.

    Args:
        sets: name -> scores of one model by one way of scoring.
        splits: name -> split id.
        identity: of the model, its prompts and preprocessing.
        refit: numbers of labelled images of the other set that calibration is refitted on.
        replicates: of the bootstrap over patients of the set that is used on.
        seed: of the bootstrap, and of which images are labelled for the refit.
    """
    pairs = [
        PairTransport(
            chosen_on=first,
            used_on=second,
            kinds={
                kind: _kind(kind, sets, (first, second), refit, replicates, seed)
                for kind in sets[first].kinds
                if kind in sets[second].kinds and _enough(sets[first], kind) and _enough(sets[second], kind)
            },
        )
        for first in sets
        for second in sets
    ]
    return Transport(identity=dict(identity), splits=dict(splits), pairs=tuple(pairs))


def write_transport(found: Transport, folder: Path) -> Path:
    """Write `transport.json`, whole or not at all; returns its path."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / TRANSPORT_NAME, found.model_dump(mode="json"))
    return folder / TRANSPORT_NAME


def _kind(
    kind: str, sets: Mapping[str, Predictions], pair: tuple[str, str], refit: Sequence[int], replicates: int, seed: int
) -> KindTransport:
    first, second = (sets[name] for name in pair)
    chosen, used = _column(first, kind), _column(second, kind)
    thresholds = {}
    for goal in THRESHOLD_GOALS:
        threshold = operating_threshold(*chosen, goal)
        found = carried(*used, second.patients, threshold, replicates=replicates, seed=seed)
        kept = None if goal == "youden" else bool(getattr(found, f"{goal.split()[0]}_ci95")[1] >= GOAL)
        thresholds[goal] = CarriedFigures(**asdict(found), carries=kept)
    labels, scores = used
    between = all(bool(((values >= 0) & (values <= 1)).all()) for _, values in (chosen, used))
    calibration = None
    if between:
        elsewhere = pair[0] != pair[1]
        line = _line(*chosen) if elsewhere else (1.0, 0.0)
        fit = recalibration(labels, scores, second.patients, refit, line=line, seed=seed)
        calibration = CalibrationFigures(calibrated_on=pair[0] if elsewhere else "", **asdict(fit))
    return KindTransport(
        thresholds=thresholds,
        calibration=calibration,
        positives=int((labels == 1).sum()),
        negatives=int((labels == 0).sum()),
    )


def _line(labels: Array, scores: Array) -> tuple[float, float]:
    """Slope and intercept that calibrate one set."""
    known = labels >= 0
    return logistic_line(labels[known] == 1, logits(scores[known]))


def _column(predictions: Predictions, kind: str) -> tuple[Array, Array]:
    place = predictions.kinds.index(kind)
    return predictions.labels[:, place], predictions.scores[:, place]


def _enough(predictions: Predictions, kind: str) -> bool:
    labels, _ = _column(predictions, kind)
    return has_enough(int((labels == 1).sum()), int((labels == 0).sum()))
