"""`xlip compare`: two evaluations of the same split side by side, with intervals and p-values of the difference."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from xlip.errors import XLIPError
from xlip.metrics.comparison import Difference, PairedComparison, paired_bootstrap
from xlip.metrics.delong import delong_test
from xlip.metrics.kinds import left_out_note
from xlip.results.result import Predictions
from xlip.results.scores_file import FILE_NAME, read_scores

METRICS_NAME, COMPARISON_NAME = "metrics.json", "comparison.json"
IDENTITY = ("checkpoint", "prompts", "preprocessing", "seeds", "split")


@dataclass(frozen=True)
class CompareConfig:
    """`xlip compare`."""

    folders: list[str]
    """Two folders that an evaluation wrote: A, then B."""
    out: str = ""
    """Folder for comparison.json; default: print alone."""
    replicates: int = 1000
    """Bootstrap replicates over patients."""
    seed: int = 0
    """Of the bootstrap."""


@dataclass(frozen=True)
class Evaluated:
    """What an evaluation left in its folder."""

    folder: str
    identity: Mapping[str, str]
    """Those of `IDENTITY` that its metrics.json has."""
    predictions: Predictions


@dataclass(frozen=True)
class Comparison:
    """Model a less model b, on the kinds that both scored."""

    a: Evaluated
    b: Evaluated
    kinds: tuple[str, ...]
    measured: PairedComparison
    delong_p: tuple[float, ...]
    """Of each kind; images count as independent."""
    only_a: tuple[str, ...]
    """Kinds that b has not scored, left out."""
    only_b: tuple[str, ...]

    @property
    def left_out(self) -> tuple[str, ...]:
        """Kinds that are listed but not in the macro mean: fewer than 10 positives or negatives."""
        pairs = zip(self.kinds, self.measured.per_kind, strict=True)
        return tuple(kind for kind, row in pairs if not row.enough)

    def to_json(self) -> dict[str, Any]:
        """The content of `comparison.json`; a figure that cannot be computed is null."""
        rows = zip(self.kinds, self.measured.per_kind, self.delong_p, strict=True)
        return {
            "a": {"folder": self.a.folder, **self.a.identity},
            "b": {"folder": self.b.folder, **self.b.identity},
            "macro": _figures(self.measured.macro),
            "per_kind": {kind: {**_figures(row), "delong_p": _finite(p)} for kind, row, p in rows},
            "left_out": list(self.left_out),
            "only_a": list(self.only_a),
            "only_b": list(self.only_b),
            "images": len(self.a.predictions.study_ids),
            "patients": len(np.unique(self.a.predictions.patients)),
        }


def compare(folder_a: str, folder_b: str, *, replicates: int = 1000, seed: int = 0) -> Comparison:
    """Compare two evaluation folders, each with the `metrics.json` and `scores.csv` of an evaluation.

    Raises:
        XLIPError: a folder is no evaluation, or the two differ in split, studies, patients or truth, or share no kind.
    """
    a, b = read_evaluation(folder_a), read_evaluation(folder_b)
    _same_split(a, b)
    kinds = tuple(kind for kind in a.predictions.kinds if kind in b.predictions.kinds)
    if not kinds:
        lists = (", ".join(side.predictions.kinds) for side in (a, b))
        raise XLIPError(f"compare: no kind in common; {folder_a} has {next(lists)}; {folder_b} has {next(lists)}")
    first = _chosen(a.predictions, kinds)
    second = _chosen(_ordered_as(a, b), kinds)
    _same_truth(a, b, first, second)
    pair = first.labels, first.scores, second.scores
    measured = paired_bootstrap(*pair, first.patients, replicates=replicates, seed=seed)
    tests = [delong_test(*(array[:, column] for array in pair)) for column in range(len(kinds))]
    return Comparison(
        a,
        b,
        kinds,
        measured,
        tuple(test.p for test in tests),
        tuple(kind for kind in a.predictions.kinds if kind not in kinds),
        tuple(kind for kind in b.predictions.kinds if kind not in kinds),
    )


def read_evaluation(folder: str) -> Evaluated:
    """The scores and the identity of an evaluation.

    Raises:
        XLIPError: a file is missing or broken.
    """
    path = Path(folder) / METRICS_NAME
    if not path.is_file():
        raise XLIPError(
            f"{folder}: expected the folder of an evaluation with {METRICS_NAME} and {FILE_NAME}; no {path}"
        )
    try:
        metrics = json.loads(path.read_text("utf-8"))
        identity = {name: str(metrics[name]) for name in IDENTITY if name in metrics}
    except (ValueError, TypeError) as error:
        raise XLIPError(f"{path}: expected the JSON object that an evaluation writes; {error}") from error
    if "split" not in identity:
        raise XLIPError(f"{path}: expected a key split, without which figures are not comparable; evaluate again")
    return Evaluated(folder, identity, read_scores(Path(folder) / FILE_NAME))


def write_comparison(comparison: Comparison, folder: Path) -> Path:
    """Write `comparison.json` into a folder, whole or not at all; returns its path."""
    folder.mkdir(parents=True, exist_ok=True)
    target, partial = folder / COMPARISON_NAME, folder / f".{COMPARISON_NAME}.partial"
    try:
        partial.write_text(json.dumps(comparison.to_json(), indent=2, allow_nan=False) + "\n", "utf-8")
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    return target


HEADER = ("kind", "AUROC A", "AUROC B", "A - B", "95 % interval", "p bootstrap", "p DeLong", "positives", "negatives")


def table_rows(comparison: Comparison) -> list[tuple[str, ...]]:
    """One row per kind and the macro mean as the last, as text."""
    rows = zip(comparison.kinds, comparison.measured.per_kind, comparison.delong_p, strict=True)
    texts = [_row(kind, row, _p(p), str(row.positives), str(row.negatives)) for kind, row, p in rows]
    return [*texts, _row("macro mean", comparison.measured.macro, "", "", "")]


def notes(comparison: Comparison) -> list[str]:
    """What has to be known beside the table."""
    lines = [
        f"not compared, scored by {name} alone: {', '.join(kinds)}"
        for name, kinds in (("A", comparison.only_a), ("B", comparison.only_b))
        if kinds
    ]
    if comparison.left_out:
        lines.append(left_out_note(comparison.left_out))
    images, patients = len(comparison.a.predictions.study_ids), len(np.unique(comparison.a.predictions.patients))
    if patients < images:
        lines.append(
            f"{images} images of {patients} patients: the bootstrap draws patients; DeLong takes images for independent"
        )
    return [*lines, "p-values are two-sided and not adjusted for the number of kinds"]


def _row(kind: str, row: Difference, *rest: str) -> tuple[str, ...]:
    interval = " to ".join(_text(bound, "+.3f") for bound in row.ci95)
    figures = (_text(row.auroc_a), _text(row.auroc_b), _text(row.difference, "+.3f"), interval, _p(row.p))
    return kind, *figures, *rest


def _text(value: float, form: str = ".3f") -> str:
    return f"{value:{form}}" if math.isfinite(value) else "-"


def _p(value: float) -> str:
    return "<0.001" if value < 0.001 else _text(value)


def _same_split(a: Evaluated, b: Evaluated) -> None:
    """Size and checksum; the name of a split is where its file stood."""
    splits = a.identity["split"], b.identity["split"]
    if splits[0].split(":")[-2:] != splits[1].split(":")[-2:]:
        raise XLIPError(
            f"compare: the splits differ: {a.folder} has {splits[0]}, {b.folder} has {splits[1]}; "
            "evaluate both models on the same studies"
        )


def _ordered_as(a: Evaluated, b: Evaluated) -> Predictions:
    """The predictions of b in the order of the studies of a."""
    if a.predictions.study_ids == b.predictions.study_ids:
        return b.predictions
    place = {study_id: row for row, study_id in enumerate(b.predictions.study_ids)}
    missing = [study_id for study_id in a.predictions.study_ids if study_id not in place]
    if missing or not len(place) == len(a.predictions.study_ids) == len(b.predictions.study_ids):
        what = f"{missing[0]} is not in {b.folder}" if missing else f"{b.folder} has others, or some twice"
        raise XLIPError(f"compare: the studies of {FILE_NAME} differ: {what}; evaluate both models again")
    order = [place[study_id] for study_id in a.predictions.study_ids]
    chosen = {name: getattr(b.predictions, name)[order] for name in ("patients", "labels", "scores")}
    return replace(b.predictions, study_ids=a.predictions.study_ids, groups={}, **chosen)


def _same_truth(a: Evaluated, b: Evaluated, first: Predictions, second: Predictions) -> None:
    for what, mine, theirs in (
        ("patients", first.patients[:, None], second.patients[:, None]),
        ("labels", first.labels, second.labels),
    ):
        unlike = (mine != theirs).any(1)
        if unlike.any():
            study_id = first.study_ids[int(np.flatnonzero(unlike)[0])]
            raise XLIPError(
                f"compare: the {what} of {int(unlike.sum())} studies differ between {a.folder} and {b.folder}, "
                f"first {study_id}; evaluate both models on the same data"
            )


def _chosen(predictions: Predictions, kinds: Sequence[str]) -> Predictions:
    columns = [predictions.kinds.index(kind) for kind in kinds]
    labels, scores = (array[:, columns] for array in (predictions.labels, predictions.scores))
    return replace(predictions, kinds=tuple(kinds), labels=labels, scores=scores)


def _figures(row: Difference) -> dict[str, Any]:
    figures = {name: _finite(value) for name, value in asdict(row).items() if name != "ci95"}
    return {**figures, "ci95": [_finite(bound) for bound in row.ci95]}


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
