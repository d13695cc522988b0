"""The figures that every classifying evaluator reports, from its predictions alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from xlip.metrics.kinds import kind_table
from xlip.metrics.longtail import long_tail, positive_shares
from xlip.metrics.sanity import permuted_labels, swapped_prompts
from xlip.metrics.subgroups import subgroup_table
from xlip.results.abstention import Distance, abstention
from xlip.results.checks import Sanity
from xlip.results.cohort import cohort, decisions
from xlip.results.figures import (
    Classification,
    ControlledFigures,
    GroupFigures,
    KindFigures,
    LongTail,
)
from xlip.results.result import Array, Predictions
from xlip.study.health import any_finding

Kind = TypeVar("Kind", bound=Classification)


def classification_figures(
    predictions: Predictions,
    into: Callable[..., Kind],
    *,
    images: int | None = None,
    dropped: int = 0,
    training: Array | None = None,
    validation: Predictions | None = None,
    near: Distance | None = None,
    card: bool = True,
    replicates: int = 1000,
    seed: int = 0,
    **more: Any,
) -> Kind:
    """Areas and intervals of every kind and of their macro means, of every subgroup, and over the long tail; who was
    tested, the decisions, and what abstaining brings.

    Args:
        predictions: scores beside the truth.
        into: class of the figures that are wanted.
        images: how many were read; default: one per row.
        dropped: cases that could not be read.
        training: (n, K) labels of the training set; without them the test labels say which kinds are frequent.
        validation: scores that thresholds are chosen on.
        near: the reference of `predictions.distances`.
        card: whether cohort, decisions and abstention are wanted.
        replicates: of the bootstrap over patients.
        seed: of the bootstrap.
        more: the further fields of `into`.
    """
    table = kind_table(predictions.labels, predictions.scores, predictions.patients, replicates=replicates, seed=seed)
    per_kind = dict(zip(predictions.kinds, map(KindFigures.model_validate, table.per_kind), strict=True))
    shares = positive_shares(predictions.kinds, predictions.labels if training is None else training)
    groups = subgroup_table(predictions, replicates=replicates, seed=seed)
    if card:
        more = {**_card(predictions, validation, near, replicates, seed), **more}
    return into(
        macro_auroc=table.macro_auroc,
        macro_ci95=table.macro_ci95,
        macro_auprc=table.macro_auprc,
        per_kind=per_kind,
        left_out=tuple(kind for kind, one in per_kind.items() if not one.enough),
        images=len(predictions.study_ids) if images is None else images,
        dropped=dropped,
        replicates=replicates,
        bootstrap_seed=seed,
        subgroups={name: tuple(map(GroupFigures.model_validate, found)) for name, found in groups.items()},
        long_tail=LongTail.model_validate(
            {
                "counted_in": "test" if training is None else "training",
                **long_tail(predictions.kinds, table.per_kind, shares),
            }
        ),
        **more,
    )


def _card(
    predictions: Predictions, validation: Predictions | None, near: Distance | None, replicates: int, seed: int
) -> dict[str, Any]:
    """Cohort, decisions and abstention."""
    options = {"replicates": replicates, "seed": seed}
    decided = decisions(predictions, validation, **options)
    findings = predictions.any_finding
    if findings is None:  # the labels that were evaluated are all that is known
        rows = (
            {k: int(s) for k, s in zip(predictions.kinds, row, strict=True) if s >= 0} for row in predictions.labels
        )
        findings = any_finding(rows)
    return {
        "cohort": cohort(predictions, findings, **options),
        "decisions": decided,
        "abstention": abstention(predictions, decided, predictions.distances, near, **options),
    }


def sanity_checks(predictions: Predictions, swapped: Array | None = None, *, seed: int = 0) -> Sanity:
    """Shuffled labels and, where there are scores (n, K) with prompts exchanged, these."""
    permuted = permuted_labels(predictions, seed=seed)
    if swapped is None:
        return Sanity.model_validate({"permuted_labels": permuted})
    return Sanity.model_validate({
        "permuted_labels": permuted,
        "swapped_prompts": swapped_prompts(predictions, swapped),
    })  # fmt: skip


def source_controlled(predictions: Predictions) -> dict[str, ControlledFigures]:
    """The figures of each kind on the sources alone that hold both of its classes (docs/protocols.md, sets: COVIDx).

    A kind that is present in one source and absent in another is told apart by the look of the source. `None` figures
    mean that no source holds both classes.
    """
    sources = predictions.groups.get("source", np.full(len(predictions.study_ids), ""))
    slices = {}
    for index, kind in enumerate(predictions.kinds):
        labels = predictions.labels[:, index]
        both = tuple(str(source) for source in np.unique(sources) if {0, 1} <= set(labels[sources == source].tolist()))
        rows = np.isin(sources, both)
        table = kind_table(labels[rows, None], predictions.scores[rows][:, [index]], predictions.patients[rows])
        (measured,) = map(KindFigures.model_validate, table.per_kind)
        slices[kind] = ControlledFigures(**dict(measured), sources=both)
    return slices


def rows_of(predictions: Predictions, rows: Array) -> Predictions:
    """The predictions of some cases: row numbers, or (n,) bool."""
    rows = np.flatnonzero(rows) if rows.dtype == bool else rows
    return replace(
        predictions,
        study_ids=tuple(predictions.study_ids[row] for row in rows),
        patients=predictions.patients[rows],
        labels=predictions.labels[rows],
        scores=predictions.scores[rows],
        groups={name: values[rows] for name, values in predictions.groups.items()},
        any_finding=None if predictions.any_finding is None else predictions.any_finding[rows],
        distances=None if predictions.distances is None else predictions.distances[rows],
    )
