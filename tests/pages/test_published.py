from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from xlip.pages.comparison_table import ours_of, published_sections
from xlip.pages.operating_points import operating_points
from xlip.pages.page import Page
from xlip.pages.published import Column, Ours, Table, differences, published_tables
from xlip.preparation.splits.nih import SPLITS
from xlip.results.classification import classification_figures
from xlip.results.figures import Negation, ZeroShotFigures
from xlip.results.result import Predictions, Result
from xlip.study.kinds import kinds

TABLES = {table.id: table for table in published_tables()}
COLUMNS = [(table, column) for table in published_tables() for column in table.columns]


def column(table: str, name: str) -> tuple[Table, Column]:
    return TABLES[table], next(one for one in TABLES[table].columns if one.name == name)


def same_as(table: Table, column: Column) -> Ours:
    """An evaluation that differs in nothing."""
    return Ours(table.evaluator, column.split, column.images or 100, column.kinds)


@pytest.mark.parametrize(("table", "column"), COLUMNS, ids=lambda item: getattr(item, "id", "") or item.name)
def test_every_column_is_whole_and_of_known_kinds(table: Table, column: Column) -> None:
    assert set(column.kinds) <= set(kinds())
    cells = [row[column.name] for row in table.rows.values() if column.name in row]
    assert cells
    assert all(len(values) == len(table.metrics) for values in cells)
    assert all(5 < value < 100 for values in cells for value in values)
    assert all(set(row) <= {one.name for one in table.columns} for row in table.rows.values())


def test_the_tables_hold_the_figures_that_were_published() -> None:
    assert TABLES["mavl-zero-shot"].rows["CheXzero"]["ChestX-ray14"] == (67.0, 22.0, 65.4)
    assert TABLES["maco-finetune"].rows["MRM"]["ChestX-ray14"] == (79.4, 84.0, 85.9)
    assert "CheXpert" not in TABLES["maco-finetune"].rows["MedKLIP"]
    assert {one.split for _, one in COLUMNS if one.set == "nih"} == set(SPLITS)


@pytest.mark.parametrize(("table", "column"), COLUMNS, ids=lambda item: getattr(item, "id", "") or item.name)
def test_only_a_stated_split_of_equal_size_protocol_and_kinds_is_comparable(table: Table, column: Column) -> None:
    ours = same_as(table, column)
    assert (differences(ours, table, column) == []) == (column.split_source == "stated" and bool(column.kinds))
    if not column.kinds:
        assert "their labels are not published by name" in differences(ours, table, column)
        return
    stated = replace(column, split_source="stated")
    changes: list[dict[str, Any]] = [{"evaluator": "probe"}, {"split": "mine"}, {"kinds": ours.kinds[1:]}]
    if column.images:
        changes.append({"images": column.images + 1})
    for change in changes:
        assert len(differences(replace(ours, **change), table, stated)) == 1, change


def test_more_kinds_do_no_harm_without_training_but_they_do_with_it() -> None:
    for name, reasons in (("mavl-zero-shot", 0), ("maco-finetune", 1)):
        table, nih = column(name, "ChestX-ray14")
        ours = same_as(table, nih)
        assert len(differences(replace(ours, kinds=(*ours.kinds, "No_Finding")), table, nih)) == reasons


def official() -> Result:
    """Random scores of 25,596 images for the 14 kinds of ChestX-ray14 and one more."""
    _, nih = column("mavl-zero-shot", "ChestX-ray14")
    names, rng = (*nih.kinds, "No_Finding"), np.random.default_rng(0)
    labels = (rng.random((25596, len(names))) < 0.1).astype(np.int8)
    scores = rng.random(labels.shape) * 0.9 + 0.1 * labels
    test = Predictions(names, tuple(map(str, range(25596))), np.arange(25596), labels, scores)
    identity = {"checkpoint": "a", "split": "nih/test:25596:abc", "preprocessing": "p", "prompts": "xlip@2"}
    return Result("zeroshot", identity, classification_figures(test, ZeroShotFigures, replicates=2), test)


def html(evaluation: Result, split_name: str) -> str:
    page = Page("x")
    published_sections(page, evaluation, split_name)
    return page.html()


def test_our_figures_stand_beside_the_comparable_ones_over_their_kinds() -> None:
    evaluation = official()
    text = html(evaluation, "nih/official")
    _, nih = column("mavl-zero-shot", "ChestX-ray14")
    area = np.mean([evaluation.kinds.per_kind[kind].auroc for kind in nih.kinds])
    assert evaluation.predictions is not None
    points = operating_points(evaluation.predictions, None)
    assert points is not None
    best = [points.table[kind]["oracle"] for kind in nih.kinds]
    cells = (100 * area, 100 * np.mean([m.f1 for m in best]), 100 * np.mean([m.accuracy for m in best]))
    ours = "".join(f"<td>{value:.1f}</td>" for value in cells)
    assert f"<td>this run</td>{ours}" in text
    assert "<td>MAVL</td><td>73.6</td><td>26.3</td><td>82.8</td>" in text
    assert "90.1" not in text  # of CheXpert, with which nothing here can be compared


def test_without_the_official_split_no_published_number_is_shown() -> None:
    text = html(official(), "")
    assert "another split: nih/official, ours nih/test" in text
    assert "No published figure was measured as these were" in text
    assert "73.6" not in text
    assert ours_of(official(), "nih/official").split == "nih/official"


def test_a_figure_stands_beside_those_of_the_same_list_only() -> None:
    """The two ChestX-ray14 lists and the three CheXpert tests have no published number in common on a page."""
    own = {"nih/official": ("73.6",), "nih/mrm": ("81.6", "42.9")}
    evaluation = official()
    for split, images in (("nih/official", 25596), ("nih/mrm", 22433)):
        figures = evaluation.figures.model_copy(update={"images": images})
        text = html(replace(evaluation, figures=figures), split)
        for name, numbers in own.items():
            for number in numbers:
                assert (f"<td>{number}</td>" in text) == (name == split), (name, number, split)
    columns = {(one.split, one.images) for _, one in COLUMNS if one.set == "chexpert" and one.name == "CheXpert-5"}
    assert columns == {("chexpert/mavl456", 456), ("chexpert/frontal668", 668)}
    table, column_ = column("vecl-zero-shot", "CheXpert-5")
    for split, images in (("chexpert/test500", 500), ("chexpert/mavl456", 456)):
        assert differences(Ours("zeroshot", split, images, column_.kinds), table, column_)


def test_readings_stand_beside_the_same_reading() -> None:
    evaluation = official()
    names = list(evaluation.kinds.per_kind)

    def areas(value: float) -> dict[str, Any]:
        per_kind = {kind: {"auroc": value, "ci95": (value, value)} for kind in names}
        return {"macro_auroc": value, "macro_ci95": (value, value), "per_kind": per_kind}

    negation = {"xlip@3": Negation(pos=areas(0.7), neg=areas(0.3), pnc=areas(0.8))}
    figures = evaluation.figures.model_copy(update={"images": 22433, "negation": negation})
    text = html(replace(evaluation, figures=figures), "nih/mrm")
    assert "<td>this run</td><td>70.0</td><td>80.0</td>" in text
    assert "<td>this run</td><td>30.0</td>" in text
    assert "<td>CARZero</td><td>42.9</td>" in text
