"""Prompts and thresholds are chosen on validation images; what is evaluated must not choose."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from xlip.errors import XLIPError
from xlip.evaluate.cases import Cases, other_split
from xlip.evaluate.classification import over_views
from xlip.metrics.kinds import MIN_CASES, kind_table
from xlip.results.result import Predictions

TESTS = ("test", "testing")
"""Names of splits that choose nothing."""


def validation_cases(data: Cases, split: str) -> Cases:
    """The cases that may choose for `data`.

    Raises:
        XLIPError: as `split_cases`, or no such split.
    """
    found = split_cases(data, split)
    if found is None:
        raise XLIPError(f"{data.name}: no split {split!r} to choose on; prepare the set with one, or leave it out")
    return found


def split_cases(data: Cases, split: str) -> Cases | None:
    """The cases that may choose for `data`; None where it has no such split.

    Raises:
        XLIPError: a test part, the evaluated cases themselves, or a patient on both sides.
    """
    words = "prompts and thresholds are never chosen on test images: name a validation split (val)"
    tested = data.origin.split if data.origin else ""
    if split.strip().lower() in TESTS or (tested and split == tested):
        raise XLIPError(f"{data.name}: chosen_on {split!r} is a test part or the one that is evaluated; {words}")
    found = other_split(data, split)
    if found is None:
        return None
    assert found.origin is not None
    chosen = {case.patient_id for case in found.origin.cases(images=False)}
    shared = {case.patient_id for case in (data.origin.cases(images=False) if data.origin else data.items)} & chosen
    if shared:
        raise XLIPError(
            f"{data.name}: {len(shared)} patients are in the split {split!r} too; {words} of other patients"
        )
    return found


def best_prompts(by_set: Mapping[str, Predictions], views: str) -> tuple[str, Predictions]:
    """The prompt set of the largest macro AUROC on validation scores, and these over views; of several the first.

    Args:
        by_set: id@version of a set -> its scores.
        views: how the scores of a study's views become one.

    Raises:
        XLIPError: several sets, and no kind with enough cases to choose by.
    """
    merged = {name: over_views(one, views) for name, one in by_set.items()}
    if len(merged) == 1:
        return next(iter(merged.items()))
    areas = [_macro(one) for one in merged.values()]
    if np.isnan(areas).all():
        raise XLIPError(
            f"chosen_on: no kind has {MIN_CASES} images with and {MIN_CASES} without it to choose prompts by; name one "
            "prompt set, or a larger validation split"
        )
    name = list(merged)[int(np.nanargmax(areas))]
    return name, merged[name]


def _macro(predictions: Predictions) -> float:
    cases = np.arange(len(predictions.labels))
    return kind_table(predictions.labels, predictions.scores, cases, replicates=1).macro_auroc
