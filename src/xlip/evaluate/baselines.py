"""Baselines that need no model: the two lines of every table that a model has to beat."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from xlip.errors import XLIPError
from xlip.evaluate.adapter import ImageTextModel
from xlip.evaluate.cases import Case, Cases, label_matrix, other_split
from xlip.evaluate.classification import predictions_of
from xlip.identity import split_id
from xlip.models.xlip import XLIPModel
from xlip.results.classification import classification_figures
from xlip.results.figures import ZeroShotFigures
from xlip.results.result import Array, Result


@dataclass(frozen=True)
class Chance:
    """Scores drawn evenly from [0, 1), seeded: AUROC 0.5 within its interval, AUPRC the share of positives."""

    replicates: int = 1000
    seed: int = 0
    name: ClassVar[str] = "chance"
    require: ClassVar[str] = "labels"

    def run(self, model: XLIPModel | ImageTextModel, data: Cases) -> Result:
        """No model and no pixel is looked at.

        Raises:
            XLIPError: no case.
        """
        start = time.perf_counter()
        cases = _known(data)
        scores = np.random.default_rng(self.seed).random((len(cases), len(data.kinds)))
        return _result(self, data, cases, scores, {"checkpoint": "none", "seeds": str(self.seed)}, start)


@dataclass(frozen=True)
class LabelPrior:
    """Every image gets the share of positives among the training labels of each kind.

    AUROC is 0.5 by construction; calibration, and F1 and accuracy at a threshold, are what a model has to beat.
    """

    train: str = ""
    """The set whose labels are counted; default: the split `train` of the set itself."""
    train_split: str = "train"
    replicates: int = 1000
    seed: int = 0
    name: ClassVar[str] = "prior"
    require: ClassVar[str] = "labels"

    def run(self, model: XLIPModel | ImageTextModel, data: Cases) -> Result:
        """No model and no pixel is looked at.

        Raises:
            XLIPError: no case, no such split, or a kind without a known training label.
        """
        start = time.perf_counter()
        known = other_split(data, self.train_split, self.train)
        if known is None:
            raise XLIPError(
                f"{data.name}: no split {self.train_split!r} to count labels in; name one with `train_split`"
            )
        cases, training = _known(data), _known(known)
        shares = _shares(label_matrix(training, data.kinds), data.kinds)
        identity = {"checkpoint": "none", "train": split_id(known.name, (case.study_id for case in training))}
        return _result(self, data, cases, np.tile(shares, (len(cases), 1)), identity, start)


def _shares(labels: Array, kinds: list[str]) -> Array:
    """(K,) share of positives among the known labels, Laplace's rule: a kind without positives is not impossible."""
    positives, known = (labels == 1).sum(0), (labels >= 0).sum(0)
    for kind, count in zip(kinds, known, strict=True):
        if not count:
            raise XLIPError(f"{kind}: no known label in the training split; leave it out with `kinds`")
    shares: Array = (positives + 1) / (known + 2)
    return shares


def _known(data: Cases) -> list[Case]:
    """The cases that have an image, as for every other evaluator, but the image is not read."""
    found = [case.without_pixels() for case in data.items]
    if not found:
        raise XLIPError(f"{data.name}: no case to evaluate on")
    return found


def _result(
    evaluator: Chance | LabelPrior,
    data: Cases,
    cases: list[Case],
    scores: Array,
    identity: dict[str, str],
    start: float,
) -> Result:
    predictions = predictions_of(cases, data.kinds, scores)
    options: dict[str, Any] = {"dropped": len(data.dropped), "replicates": evaluator.replicates, "seed": evaluator.seed}
    identity = {"split": split_id(data.name, predictions.study_ids), "preprocessing": "none", **identity}
    figures = classification_figures(predictions, ZeroShotFigures, **options)
    return Result(
        evaluator.name, identity, figures, predictions, None, tuple(data.dropped), time.perf_counter() - start
    )
