"""What a score is read beside: the scores of other films, and a probability where films with labels are there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xlip.errors import XLIPError
from xlip.files import reading
from xlip.metrics.calibration import apply_temperature, expected_calibration_error, fit_platt, logits

if TYPE_CHECKING:
    from xlip.results.result import Predictions

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
LEAST_CASES = 10
"""Films of each class that a kind needs to be calibrated."""

Array = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Spread:
    """The scores of a population for one finding."""

    scores: Array
    """(n,), ascending."""
    source: str

    @classmethod
    def of(cls, scores: Array, source: str) -> Spread:
        """From scores in any order."""
        return cls(np.sort(np.asarray(scores, np.float64)), source)

    def percentile(self, score: float) -> float:
        """Share of the population with a lower score, in per cent; equal ones count half."""
        below, upto = (np.searchsorted(self.scores, score, side) for side in ("left", "right"))
        return float(50.0 * (below + upto) / len(self.scores))

    def quantiles(self) -> list[float]:
        """The scores at `QUANTILES`."""
        return [float(value) for value in np.quantile(self.scores, QUANTILES)]


@dataclass(frozen=True)
class Curve:
    """From a score to a probability."""

    slope: float
    offset: float
    cases: int
    positives: int
    error: float
    """Expected calibration error on the films that it was fitted to."""

    def probability(self, score: float) -> float:
        """Of the finding, among films like those of the fit."""
        return float(apply_temperature(self.slope * logits(np.array([score])) + self.offset, 1.0)[0])


def population_of(path: str, identity: Mapping[str, str]) -> dict[str, Spread]:
    """The scores of an evaluation, by kind.

    Raises:
        XLIPError: no such evaluation, or one of another model, prompt set or preprocessing.
    """
    found, split = _scores(path, False, identity)
    return {kind: Spread.of(found.scores[:, column], split) for column, kind in enumerate(found.kinds)}


def calibration_of(path: str, identity: Mapping[str, str]) -> dict[str, Curve]:
    """A curve for each kind of an evaluation that has enough films with and without it.

    Scores of validation films are taken where the evaluation has them.

    Raises:
        XLIPError: as `population_of`, or no kind with enough films of both classes.
    """
    found, _ = _scores(path, True, identity)
    curves = {}
    for column, kind in enumerate(found.kinds):
        labels, scores = found.labels[:, column], found.scores[:, column]
        positives, cases = int((labels == 1).sum()), int((labels >= 0).sum())
        if min(positives, cases - positives) < LEAST_CASES:
            continue
        slope, offset = fit_platt(labels, logits(scores))
        fitted = apply_temperature(slope * logits(scores) + offset, 1.0)
        curves[kind] = Curve(slope, offset, cases, positives, expected_calibration_error(labels, fitted))
    if not curves:
        raise XLIPError(f"{path}: no kind with {LEAST_CASES} films with and {LEAST_CASES} without it; nothing to fit")
    return curves


def _scores(path: str, validation: bool, identity: Mapping[str, str]) -> tuple[Predictions, str]:
    """Of an evaluation of the same model, of its validation split where that is wanted and there; and the split."""
    # Here: a service without a population starts sooner without the types of all figures.
    from xlip.results.folder import METRICS_NAME, result_of_json
    from xlip.results.scores_file import FILE_NAME, VALIDATION_NAME, read_scores

    given = Path(path)
    folder = given if given.is_dir() else given.parent
    metrics = folder / METRICS_NAME
    if not metrics.is_file():
        raise XLIPError(f"{path}: expected the folder of `xlip zeroshot` or a file in it, found no {METRICS_NAME}")
    with reading(metrics):
        found = result_of_json(json.loads(metrics.read_text("utf-8")), str(metrics)).identity
    for name, ours in identity.items():
        if (theirs := found.get(name, "")) != ours:
            raise XLIPError(
                f"{path}: its {name} is {theirs or 'not known'}, the model's is {ours or 'none'}; evaluate this model"
            )
    file = folder / (VALIDATION_NAME if validation and (folder / VALIDATION_NAME).is_file() else FILE_NAME)
    if given.is_file() and given != metrics:
        file = given
    return read_scores(file), found.get("split", folder.name)
