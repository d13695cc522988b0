from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from xlip.cli import main
from xlip.errors import XLIPError
from xlip.metrics.comparison import paired_bootstrap
from xlip.metrics.delong import delong_test
from xlip.results.classification import classification_figures
from xlip.results.compare import (
    HEADER,
    CompareConfig,
    Comparison,
    DifferenceFigures,
    compare,
    group_table,
    table_rows,
    verdict,
    write_comparison,
)
from xlip.results.figures import ZeroShotFigures
from xlip.results.folder import write_folder
from xlip.results.result import Predictions, Result

KINDS = ("Effusion", "Edema", "Hernia")
COUNT = 120
SPLIT = f"set/test:{COUNT}:0123456789ab"
IDENTITY = {"checkpoint": "aaa", "prompts": "xlip@2", "preprocessing": "letterbox/64", "split": SPLIT}


def compared(*folders: str, **options: int) -> Comparison:
    return compare(CompareConfig(list(folders), **options))


def predictions(noise: float) -> Predictions:
    rng = np.random.default_rng(0)
    labels = (rng.random((COUNT, 3)) < 0.4).astype(np.int8)
    labels[:, 2] = 0
    labels[:4, 2] = 1  # too few for the macro mean
    labels[5, 0] = -1
    scores = labels + rng.normal(size=(COUNT, 3)) + noise * np.random.default_rng(1).normal(size=(COUNT, 3))
    ids = tuple(f"s{row}" for row in range(COUNT))
    groups = {"sex": np.array(["F", "M", ""])[np.arange(COUNT) // 2 % 3], "view": np.full(COUNT, "PA")}
    return Predictions(KINDS, ids, np.array([f"p{row // 2}" for row in range(COUNT)]), labels, scores, groups)


def by_sex(noise: dict[str, float]) -> Predictions:
    """Scores whose noise differs between women and men."""
    made = predictions(0)
    steps = np.array([noise[value] for value in made.groups["sex"]])[:, None]
    return replace(made, scores=made.labels + steps * np.random.default_rng(2).normal(size=made.labels.shape))


def folder(path: Path, made: Predictions, **identity: str) -> str:
    figures = classification_figures(made, ZeroShotFigures, replicates=1)
    write_folder(Result("zeroshot", {**IDENTITY, **identity}, figures, made), path)
    return str(path)


@pytest.fixture
def pair(tmp_path: Path) -> tuple[str, str]:
    return folder(tmp_path / "a", predictions(0)), folder(tmp_path / "b", predictions(2.5), checkpoint="bbb")


def test_the_comparison_has_the_figures_of_both_tests(pair: tuple[str, str]) -> None:
    a, b = predictions(0), predictions(2.5)
    found = compared(*pair, replicates=200)
    measured = paired_bootstrap(a.labels, a.scores, b.scores, a.patients, replicates=200)
    assert found.macro.to_json() == DifferenceFigures.model_validate(measured.macro).to_json()
    for column, (row, expected) in enumerate(zip(found.per_kind.values(), measured.per_kind, strict=True)):
        assert (row.difference, row.ci95, row.p) == (expected.difference, expected.ci95, expected.p)
        assert row.delong_p == delong_test(a.labels[:, column], a.scores[:, column], b.scores[:, column]).p
    assert found.macro.ci95[0] > 0
    assert found.macro.better == "A"
    assert found.macro.p < 0.05
    assert (tuple(found.per_kind), found.left_out) == (KINDS, ("Hernia",))
    assert (found.a["checkpoint"], found.b["checkpoint"]) == ("aaa", "bbb")


def test_an_evaluation_does_not_differ_from_itself(pair: tuple[str, str]) -> None:
    same = compared(pair[0], pair[0], replicates=20)
    assert [(kind.difference, kind.p) for kind in (*same.per_kind.values(), same.macro)] == [(0, 1)] * 4
    assert [kind.delong_p for kind in same.per_kind.values()] == [1, 1, 1]
    assert same.macro.better == ""


def test_studies_are_matched_by_name_and_not_by_row(pair: tuple[str, str], tmp_path: Path) -> None:
    other = predictions(2.5)
    order = np.random.default_rng(3).permutation(COUNT)
    shuffled = replace(
        other,
        study_ids=tuple(other.study_ids[row] for row in order),
        **{name: getattr(other, name)[order] for name in ("patients", "labels", "scores")},
        groups={},
    )
    moved = folder(tmp_path / "c", shuffled, split=SPLIT.replace("set/test", "elsewhere"))
    shifted, whole = compared(pair[0], moved, replicates=20), compared(*pair, replicates=20)
    assert (shifted.per_kind, shifted.macro, shifted.subgroups) == (whole.per_kind, whole.macro, whole.subgroups)


def test_kinds_are_matched_by_name_and_the_rest_is_named(
    pair: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = predictions(2.5)
    labels, scores = other.labels[:, [1, 0]], other.scores[:, [1, 0]]
    more = replace(
        other,
        kinds=("Edema", "Effusion", "Mass"),
        labels=np.c_[labels, labels[:, 0]],
        scores=np.c_[scores, scores[:, 0]],
    )
    fewer = folder(tmp_path / "c", more)
    found, whole = compared(pair[0], fewer, replicates=20), compared(*pair, replicates=20)
    assert (tuple(found.per_kind), found.only_a, found.only_b) == (("Effusion", "Edema"), ("Hernia",), ("Mass",))
    assert found.per_kind == {kind: whole.per_kind[kind] for kind in ("Effusion", "Edema")}
    assert main(["compare", pair[0], fewer, "--replicates", "20"]) == 0
    shown = capsys.readouterr().out
    assert "not compared, scored by A alone: Hernia" in shown
    assert "not compared, scored by B alone: Mass" in shown


def test_the_command_prints_a_table_and_writes_strict_json(
    pair: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["compare", *pair, "--out", str(tmp_path / "new" / "out"), "--replicates", "50"]) == 0
    shown = capsys.readouterr().out
    for words in (
        *KINDS,
        "macro mean",
        "sex F",
        "better",
        "B is not better in every group",
        "A - B",
        "95 % interval",
        "p bootstrap",
        "p DeLong",
        "checkpoint bbb",
    ):
        assert words in shown
    assert "Not in the macro mean, fewer than 10 positives or negatives: Hernia" in shown
    assert f"{COUNT} images of {COUNT // 2} patients" in shown
    assert [path.name for path in (tmp_path / "new" / "out").iterdir()] == ["comparison.json"]
    written = json.loads((tmp_path / "new" / "out" / "comparison.json").read_text(), parse_constant=pytest.fail)
    assert written == compared(*pair, replicates=50).to_json()
    assert written["a"] == {"folder": pair[0], **IDENTITY}
    macro = written["macro"]
    assert macro["difference"] == pytest.approx(macro["auroc_a"] - macro["auroc_b"])
    assert macro["ci95"][0] < macro["difference"] < macro["ci95"][1]
    assert set(written["per_kind"]["Edema"]) == {*macro, "delong_p"}
    assert (written["images"], written["patients"], written["left_out"]) == (COUNT, COUNT // 2, ["Hernia"])


def test_every_group_is_compared_on_its_own_patients(tmp_path: Path) -> None:
    a, b = by_sex({"F": 0.05, "M": 4, "": 4}), by_sex({"F": 4, "M": 0.05, "": 0.05})
    found = compared(folder(tmp_path / "a", a), folder(tmp_path / "b", b), replicates=100)
    assert set(found.subgroups) == {"sex"}  # all views are alike
    rows = {row.value: row for row in found.subgroups["sex"]}
    assert list(rows) == ["F", "M", "unknown"]
    for value, row in rows.items():
        own = a.groups["sex"] == value.replace("unknown", "")
        arrays = (array[own] for array in (a.labels, a.scores, b.scores, a.patients))
        expected = paired_bootstrap(*arrays, replicates=100).macro
        assert (row.difference, row.ci95, row.p) == (expected.difference, expected.ci95, expected.p)
        assert (row.images, row.patients) == (40, 20)
    assert (rows["F"].better, rows["M"].better) == ("A", "B")
    assert "worse in sex F" in verdict(found)
    assert verdict(found).startswith("B is not better in every group: better in 2, ")
    assert "B gains least in sex F: A - B +" in verdict(found)
    assert [row[0] for row in group_table(found)] == ["sex F", "sex M", "sex unknown"]
    every = compared(
        str(tmp_path / "a"), folder(tmp_path / "c", by_sex(dict.fromkeys(("F", "M", ""), 0.01))), replicates=50
    )
    assert every.subgroups["sex"][1].better == "B"
    assert "worse in" not in verdict(every)


def test_b_is_better_in_every_group_only_where_every_interval_says_so(tmp_path: Path) -> None:
    bad, good = by_sex(dict.fromkeys(("F", "M", ""), 5.0)), by_sex(dict.fromkeys(("F", "M", ""), 0.05))
    pair = folder(tmp_path / "bad", bad), folder(tmp_path / "good", good)
    assert verdict(compared(*pair, replicates=100)).startswith("B is better in every group; B gains least in sex ")
    assert verdict(compared(pair[0], pair[0], replicates=20)).startswith(
        "B is not better in every group: better in 0, "
    )
    alone = folder(tmp_path / "none", replace(bad, groups={}))
    assert verdict(compared(alone, pair[1], replicates=20)) == ""


def test_no_p_value_is_shown_as_nothing(tmp_path: Path) -> None:
    sure = folder(tmp_path / "a", replace(MADE, scores=MADE.labels.astype(np.float64)))
    rows = table_rows(compared(sure, folder(tmp_path / "b", predictions(9)), replicates=5000))
    assert {row[HEADER.index("p DeLong")] for row in rows[:2]} == {"<0.001"}
    assert {row[HEADER.index("p bootstrap")] for row in rows[:2]} == {"<0.001"}
    assert rows[-1][:2] == ("macro mean", "1.000")


def test_what_cannot_be_computed_is_null(tmp_path: Path) -> None:
    made = predictions(0)
    one = folder(tmp_path / "a", replace(made, labels=np.ones_like(made.labels)))
    found = compared(one, one, replicates=5)
    write_comparison(found, tmp_path)
    written = json.loads((tmp_path / "comparison.json").read_text(), parse_constant=pytest.fail)
    assert written["macro"]["difference"] is None
    assert written["per_kind"]["Edema"]["ci95"] == [None, None]
    assert written["per_kind"]["Edema"]["delong_p"] is None


def without(made: Predictions, row: int) -> Predictions:
    rows = [place for place in range(COUNT) if place != row]
    ids = tuple(made.study_ids[place] for place in rows)
    arrays = {name: getattr(made, name)[rows] for name in ("patients", "labels", "scores")}
    return replace(made, study_ids=ids, groups={}, **arrays)


MADE = predictions(0)
TWICE = replace(MADE, study_ids=("s1", *MADE.study_ids[1:]))


@pytest.mark.parametrize(
    ("other", "split", "message"),
    [
        (
            MADE,
            SPLIT.replace("0123", "4567"),
            r"the splits differ: .*/a has set/test:120:0123456789ab, .*/c has .*4567",
        ),
        (MADE, SPLIT.replace("120", "119"), "the splits differ"),
        (without(MADE, 3), SPLIT, r"the studies of scores\.csv differ: s3 is not in"),
        (TWICE, SPLIT, r"the studies of scores\.csv differ: s0 is not in"),
        (
            replace(MADE, labels=1 - np.abs(MADE.labels)),
            SPLIT,
            "the labels of 120 studies differ between .*, first s0;",
        ),
        (replace(MADE, patients=np.arange(COUNT)), SPLIT, "the patients of 120 studies differ"),
        (
            replace(MADE, kinds=("Mass", "Nodule", "Fibrosis")),
            SPLIT,
            "no kind in common; .*/a has Effusion, .*has Mass",
        ),
    ],
)
def test_evaluations_that_are_not_comparable_are_refused(
    other: Predictions, split: str, message: str, pair: tuple[str, str], tmp_path: Path
) -> None:
    with pytest.raises(XLIPError, match=message) as caught:
        compared(pair[0], folder(tmp_path / "c", other, split=split))
    assert "\n" not in str(caught.value)


def test_a_study_that_stands_there_twice_cannot_be_matched(tmp_path: Path) -> None:
    order = np.r_[1, 0, 2:COUNT]
    moved = replace(TWICE, study_ids=tuple(TWICE.study_ids[row] for row in order))
    a = folder(tmp_path / "a", replace(MADE, study_ids=("s2", "s1", *MADE.study_ids[2:])))
    with pytest.raises(XLIPError, match=r"the studies of scores\.csv differ: .*has others, or some twice"):
        compared(a, folder(tmp_path / "b", moved))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, r"expected the folder of an evaluation, found no metrics\.json in it"),
        ("{", r"metrics\.json: expected JSON without NaN"),
        ("7", r"metrics\.json: expected an object with the figures of an evaluation"),
        ("{}", r"metrics\.json: the field 'checkpoint' is missing; evaluate again with this version of xlip"),
    ],
)
def test_a_folder_that_is_no_evaluation_is_refused(
    text: str | None, message: str, pair: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    metrics = Path(pair[1]) / "metrics.json"
    metrics.unlink() if text is None else metrics.write_text(text)
    with pytest.raises(XLIPError, match=message):
        compared(*pair)
    assert main(["compare", *pair]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_score_that_is_no_number_is_refused_with_its_row(
    pair: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scores = Path(pair[1]) / "scores.csv"
    lines = scores.read_text().splitlines()
    cells = lines[6].split(",")
    lines[6] = ",".join([*cells[:3], "nan", *cells[4:]])
    scores.write_text("\n".join(lines))
    assert main(["compare", *pair, "--out", str(tmp_path / "out")]) == 2
    assert "scores.csv:7: the score of Edema is 'nan'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("count", [1, 3])
def test_it_takes_two(count: int, pair: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", *[pair[0]] * count]) == 2
    assert f"expected two folders, A and B; got {count}" in capsys.readouterr().err
