"""From cases and scores to predictions: one row per image, or per study over its views."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from xlip.errors import XLIPError
from xlip.evaluate.cases import Case, label_matrix
from xlip.results.classification import rows_of
from xlip.results.result import Array, Predictions, Result
from xlip.study.health import any_finding
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
        any_finding(case.labels for case in cases),
    )


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
    merged = replace(rows_of(predictions, np.array(first)), study_ids=tuple(rows), scores=scores)
    if predictions.distances is None:
        return merged
    # A study is as far from training as the farthest of its views.
    return replace(merged, distances=np.array([predictions.distances[members].max() for members in rows.values()]))


def one_class_kinds(result: Result) -> list[str]:
    """A line for each kind of which the data hold one class only: no AUROC exists."""
    lines = []
    for kind, figures in result.kinds.per_kind.items() if result.kinds else ():
        positives, negatives = figures.positives, figures.negatives
        if not positives or not negatives:
            state = f"all {positives} present" if positives else f"all {negatives} absent" if negatives else "unknown"
            lines.append(f"{kind}: its labels are {state}, no AUROC exists; leave it out with `kinds`, or add studies")
    return lines
