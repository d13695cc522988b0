from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

from xlip.metrics.kinds import MIN_CASES, KindTable, kind_table
from xlip.metrics.subgroups import UNKNOWN, subgroup_table
from xlip.results.result import Predictions


def predictions(groups: dict[str, np.ndarray], count: int = 300) -> Predictions:
    rng = np.random.default_rng(0)
    labels = (rng.random((count, 2)) < 0.4).astype(np.int8)
    scores = rng.normal(labels)
    ids = tuple(str(row) for row in range(count))
    return Predictions(("Effusion", "Edema"), ids, np.arange(count) // 2, labels, scores, groups)


def test_every_subgroup_has_the_figures_of_its_own_cases() -> None:
    sex = np.array(["M", "F", ""] * 100)
    found = predictions({"sex": sex})
    rows = subgroup_table(found, replicates=40)["sex"]
    assert [row.value for row in rows] == ["F", "M", UNKNOWN]
    for row, value in zip(rows, ("F", "M", ""), strict=True):
        own = sex == value
        parts = found.labels[own], found.scores[own], found.patients[own]
        figures = {item.name: getattr(row, item.name) for item in fields(KindTable)}
        assert KindTable(**figures) == kind_table(*parts, replicates=40)
        assert (row.images, row.patients) == (100, len(set(found.patients[own].tolist())))
        assert row.kinds == found.kinds
        whole = kind_table(found.labels, found.scores, found.patients, replicates=1)
        assert row.whole_macro_auroc == whole.macro_auroc


def test_the_whole_is_measured_over_the_kinds_of_the_subgroup() -> None:
    found = predictions({"view": np.array(["AP"] * 150 + ["PA"] * 150)})
    found.labels[:150, 1] = 0
    found.labels[: MIN_CASES - 1, 1] = 1
    ap, pa = subgroup_table(found, replicates=5)["view"]
    assert (ap.kinds, pa.kinds) == (("Effusion",), ("Effusion", "Edema"))
    whole = kind_table(found.labels, found.scores, found.patients, replicates=1)
    assert ap.whole_macro_auroc == whole.per_kind[0].auroc
    assert pa.whole_macro_auroc == whole.macro_auroc
    assert ap.macro_auroc == ap.per_kind[0].auroc


def test_a_subgroup_without_enough_cases_has_no_mean_and_a_single_value_no_table() -> None:
    view = np.array(["PA"] * 295 + ["AP"] * 5)
    tables = subgroup_table(predictions({"view": view, "source": np.full(300, "nih")}), replicates=5)
    assert set(tables) == {"view"}
    small = tables["view"][0]
    assert (small.value, small.images, small.kinds) == ("AP", 5, ())
    assert np.isnan([small.macro_auroc, small.whole_macro_auroc]).all()


@pytest.mark.parametrize("worse", ["F", "M"])
def test_a_model_that_fails_for_one_sex_is_seen(worse: str) -> None:
    found = predictions({"sex": np.array(["M", "F"] * 150)})
    own = found.groups["sex"] == worse
    found.scores[own] = np.random.default_rng(1).normal(size=(own.sum(), 2))
    rows = {row.value: row for row in subgroup_table(found, replicates=100)["sex"]}
    good = rows["F" if worse == "M" else "M"]
    assert rows[worse].macro_ci95[1] < rows[worse].whole_macro_auroc < good.macro_ci95[0]
