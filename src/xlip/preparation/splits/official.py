"""The official splits that come inside a data set: its source already knows them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from xlip.preparation.splits.rule import Item, Rule, as_given


def official(items: Sequence[Item], lists: Path) -> dict[str, str]:
    """Train, val and test as the set gives them; a tenth of the training patients is val where it has none."""
    return as_given(items)


def whole(items: Sequence[Item], lists: Path) -> dict[str, str]:
    """Every study is test: sets that others use for testing alone."""
    return dict.fromkeys((item.study_id for item in items), "test")


SPLITS: dict[str, Rule] = dict.fromkeys(
    (
        "covidx/official",
        "mimic/official",
        "openi/r2gen",
        "vindr/official",
        "medmnist/official",
        "kermany/official",
        "chestxdet10/official",
    ),
    official,
) | dict.fromkeys(("openi/all", "padchest/physician", "ms-cxr/all"), whole)
