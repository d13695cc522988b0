"""Figures that every classifying evaluator reports, from its predictions."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from xlip.errors import XLIPError
from xlip.evaluate.cases import Case, label_matrix
from xlip.metrics.kinds import MIN_CASES, KindMetrics, evaluate_kinds, macro
from xlip.results.intervals import finite
from xlip.results.result import Array, Predictions
from xlip.study.subgroups import group_columns

VIEWS = ("", "max", "mean")
"""How the scores of a study's views become one: not at all, their largest, their mean."""


def predictions_of(cases: Sequence[Case], kinds: Sequence[str], scores: Array) -> Predictions:
    """Scores (n, K) beside the truth of their cases.

    Raises:
        XLIPError: a score is NaN or infinite.
    """
    bad = [kind for kind, column in zip(kinds, scores.T, strict=True) if not np.isfinite(column).all()]
    if bad:
        count = int((~np.isfinite(scores)).any(1).sum())
        raise XLIPError(
            f"scores of {', '.join(bad)}: NaN or infinite for {count} of {len(scores)} images; is the checkpoint sound?"
        )
    return Predictions(
        tuple(kinds),
        tuple(case.study_id for case in cases),
        np.array([case.patient_id for case in cases]),
        label_matrix(cases, kinds),
        scores.astype(np.float64),
        group_columns([case.groups for case in cases]),
    )


def classification_metrics(
    predictions: Predictions, *, dropped: int = 0, replicates: int = 1000, seed: int = 0
) -> dict[str, Any]:
    """macro_auroc, macro_ci95, macro_auprc, per_kind, left_out, images, dropped; what cannot be computed is None."""
    measured, interval = evaluate_kinds(
        predictions.labels, predictions.scores, predictions.patients, replicates=replicates, seed=seed
    )
    return as_metrics(predictions.kinds, measured, interval, images=len(predictions.study_ids), dropped=dropped)


def as_metrics(
    kinds: Sequence[str],
    measured: list[KindMetrics],
    interval: tuple[float, float],
    *,
    images: int,
    dropped: int,
) -> dict[str, Any]:
    """The same, of figures that were computed already."""
    enough = [m.auprc for m in measured if min(m.positives, m.negatives) >= MIN_CASES]
    return {
        "macro_auroc": finite(macro(measured)),
        "macro_ci95": [finite(bound) for bound in interval],
        "macro_auprc": finite(float(np.mean(enough)) if enough else math.nan),
        "per_kind": {kind: _kind(m) for kind, m in zip(kinds, measured, strict=True)},
        "left_out": [k for k, m in zip(kinds, measured, strict=True) if min(m.positives, m.negatives) < MIN_CASES],
        "images": images,
        "dropped": dropped,
    }


def over_views(predictions: Predictions, how: str) -> Predictions:
    """One row per study where a study has several images: ids are alike up to the last slash.

    The study's labels and subgroups are those of its first view, whose truth is the study's.

    Raises:
        XLIPError: `how` is none of `VIEWS`.
    """
    if how not in VIEWS:
        raise XLIPError(f"views: expected max, mean or nothing; got {how!r}")
    if not how:
        return predictions
    rows: dict[str, list[int]] = defaultdict(list)
    for row, study_id in enumerate(predictions.study_ids):
        rows[study_id.rpartition("/")[0]].append(row)
    merge: Callable[..., Array] = np.max if how == "max" else np.mean
    first = [members[0] for members in rows.values()]
    scores = np.stack([merge(predictions.scores[members], axis=0) for members in rows.values()])
    return replace(_rows(predictions, np.array(first)), study_ids=tuple(rows), scores=scores)


def source_controlled(predictions: Predictions) -> dict[str, Any]:
    """The figures of each kind on the sources alone that hold both of its classes (PROTOCOLS 1, COVIDx).

    A kind that is present in one source and absent in another is told apart by the look of the source. `None` figures
    mean that no source holds both classes.
    """
    sources = predictions.groups.get("source", np.full(len(predictions.study_ids), ""))
    slices = {}
    for index, kind in enumerate(predictions.kinds):
        labels = predictions.labels[:, index]
        both = [str(source) for source in np.unique(sources) if {0, 1} <= set(labels[sources == source].tolist())]
        part = _rows(predictions, np.flatnonzero(np.isin(sources, both)))
        part = replace(part, kinds=(kind,), labels=part.labels[:, [index]], scores=part.scores[:, [index]])
        slices[kind] = {**classification_metrics(part)["per_kind"][kind], "sources": both}
    return slices


def one_class_kinds(metrics: Mapping[str, Any]) -> list[str]:
    """A line for each kind of which the data hold one class only: no AUROC exists."""
    lines = []
    for kind, figures in metrics.get("per_kind", {}).items():
        positives, negatives = figures["positives"], figures["negatives"]
        if not positives or not negatives:
            state = f"all {positives} present" if positives else f"all {negatives} absent" if negatives else "unknown"
            lines.append(f"{kind}: its labels are {state}, no AUROC exists; leave it out with `kinds`, or add studies")
    return lines


def _kind(measured: KindMetrics) -> dict[str, Any]:
    return {
        "auroc": finite(measured.auroc),
        "auprc": finite(measured.auprc),
        "positives": measured.positives,
        "negatives": measured.negatives,
        "ci95": [finite(bound) for bound in measured.ci95],
    }


def _rows(predictions: Predictions, rows: Array) -> Predictions:
    return replace(
        predictions,
        study_ids=tuple(predictions.study_ids[row] for row in rows),
        patients=predictions.patients[rows],
        labels=predictions.labels[rows],
        scores=predictions.scores[rows],
        groups={name: values[rows] for name, values in predictions.groups.items()},
    )
