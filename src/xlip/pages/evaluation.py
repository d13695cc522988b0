"""An evaluation as pages need it: from the folder that an evaluator wrote, or from its result in memory."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xlip.errors import XLIPError
from xlip.metrics.auroc import auroc
from xlip.pages.schema import check_metrics
from xlip.results.result import Predictions, Result
from xlip.results.scores_file import FILE_NAME, VALIDATION_NAME, read_scores

METRICS_NAME = "metrics.json"
TOLERANCE = 1e-6
"""Between an AUROC of metrics.json and the one of scores.csv: more, and the files are not of one evaluation."""
IDENTITY = ("checkpoint", "split", "prompts", "preprocessing", "seed", "seeds")
"""What a number is printed with, in the order of the page."""


@dataclass(frozen=True)
class Evaluation:
    """What is known of one evaluation; everything on its page comes from here."""

    evaluator: str
    metrics: Mapping[str, Any]
    """The content of `metrics.json`, checked."""
    predictions: Predictions | None = None
    validation: Predictions | None = None
    dropped: tuple[tuple[str, str], ...] = ()

    @property
    def identity(self) -> dict[str, str]:
        """What makes the numbers repeatable, the fixed names first."""
        said = {name: str(self.metrics[name]) for name in IDENTITY if name in self.metrics}
        others = {name: value for name, value in self.metrics.items() if isinstance(value, str) and name not in said}
        others.pop("evaluator", None)
        return {**said, **others}

    @property
    def per_kind(self) -> Mapping[str, Mapping[str, Any]]:
        """Kind -> figures; empty where nothing was classified."""
        figures: Mapping[str, Mapping[str, Any]] = self.metrics.get("per_kind", {})
        return figures

    @property
    def counted(self) -> list[str]:
        """The kinds of the macro means."""
        return [kind for kind in self.per_kind if kind not in self.metrics["left_out"]]


def from_result(result: Result) -> Evaluation:
    """The evaluation that an evaluator returned.

    Raises:
        XLIPError: its metrics are not what `xlip.pages.schema` expects.
    """
    # By way of JSON, as a reader of the file would see it: tuples become lists.
    try:
        metrics = json.loads(json.dumps({**result.metrics, **result.identity, "evaluator": result.evaluator}))
    except TypeError as error:
        raise XLIPError(f"metrics of {result.evaluator}: expected JSON values; {error}") from error
    metrics.setdefault("dropped", len(result.dropped))
    check_metrics(metrics, f"metrics of {result.evaluator}")
    return Evaluation(result.evaluator, metrics, result.predictions, result.validation, result.dropped)


def read_evaluation(folder: Path) -> Evaluation:
    """The evaluation of a folder with `metrics.json` and, where something was classified, `scores.csv`.

    Raises:
        XLIPError: no such folder or file, a file that does not hold what it should, or files of two evaluations.
    """
    path = folder / METRICS_NAME
    if not path.is_file():
        raise XLIPError(f"{folder}: expected the folder of an evaluation, found no {METRICS_NAME} in it")
    try:
        metrics = json.loads(path.read_text("utf-8"), parse_constant=_refuse)
    except ValueError as error:
        raise XLIPError(f"{path}: expected JSON without NaN; {error}") from error
    check_metrics(metrics, str(path))
    scores, validation = folder / FILE_NAME, folder / VALIDATION_NAME
    predictions = read_scores(scores) if "per_kind" in metrics or scores.is_file() else None
    if predictions and "per_kind" in metrics:
        _check_agreement(folder, metrics["per_kind"], predictions)
    return Evaluation(
        metrics.get("evaluator", "zeroshot"),
        metrics,
        predictions,
        read_scores(validation) if validation.is_file() else None,
        _read_dropped(folder / "dropped.csv"),
    )


def _refuse(constant: str) -> None:
    raise ValueError(f"found {constant}")


def _check_agreement(folder: Path, per_kind: Mapping[str, Mapping[str, Any]], predictions: Predictions) -> None:
    if set(per_kind) != set(predictions.kinds):
        odd = sorted(set(per_kind) ^ set(predictions.kinds))[0]
        raise XLIPError(f"{folder}: {odd} stands in only one of {METRICS_NAME} and {FILE_NAME}; evaluate again")
    for index, kind in enumerate(predictions.kinds):
        known = predictions.labels[:, index] >= 0
        said = per_kind[kind]["auroc"]
        found = auroc(predictions.labels[known, index], predictions.scores[known, index])[0]
        if said is not None and not abs(said - found) <= TOLERANCE:
            raise XLIPError(
                f"{folder}: the AUROC of {kind} is {said:.4f} in {METRICS_NAME} and {found:.4f} by {FILE_NAME}; "
                "the files are not of one evaluation, evaluate again"
            )


def _read_dropped(path: Path) -> tuple[tuple[str, str], ...]:
    if not path.is_file():
        return ()
    with path.open(newline="", encoding="utf-8") as stream:
        rows = [tuple(row) for row in csv.reader(stream)][1:]
    return tuple((row[0], row[1]) for row in rows if len(row) == 2)
