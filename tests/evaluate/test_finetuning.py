from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tiny import tiny_model
from xlip import cli
from xlip.errors import XLIPError
from xlip.evaluate.cases import open_cases
from xlip.evaluate.finetuning import FineTuning, finetune_to, table_rows
from xlip.finetune.recipe import Recipe
from xlip.finetune.run import FinetuneConfig
from xlip.metrics.kinds import kind_table
from xlip.preparation.run import prepare
from xlip.results.figures import ShareRow
from xlip.results.folder import read_result
from xlip.results.scores_file import read_scores

KINDS = "Effusion,No_Finding,Nodule"
RECIPE = Recipe(least_steps=4, most_steps=4, batch_size=8, checks=2)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A phantom set with enough test cases to measure, a model, and two fine-tunings of it."""
    root = tmp_path_factory.mktemp("finetuning")
    prepare("phantom", Path(), root / "set", workers=0, holdout=0.6, options={"count": 160, "size": 64})
    tiny_model().save_pretrained(root / "model")
    scratch = replace(config(root, "scratch"), recipe=replace(RECIPE, init="scratch"))
    finetune_to(scratch)
    finetune_to(replace(config(root, "ours"), baseline=str(root / "scratch")))
    return root


def config(root: Path, out: str) -> FinetuneConfig:
    return FinetuneConfig(
        model=str(root / "model"),
        data=str(root / "set"),
        out=str(root / out),
        recipe=RECIPE,
        augment=None,
        fractions="0.3,1",
        seeds="0,1",
        kinds=KINDS,
        replicates=30,
    )


def metrics(root: Path, name: str) -> dict:
    return json.loads((root / name / "metrics.json").read_text(), parse_constant=pytest.fail)


def test_the_table_has_a_row_for_zero_shot_and_every_share(place: Path) -> None:
    table = metrics(place, "ours")["table"]
    assert [row["share"] for row in table] == ["zero-shot", "0.3", "1"]
    assert [row["share"] for row in metrics(place, "scratch")["table"]] == ["0.3", "1"]
    for row in table[1:]:
        figures = list(row["per_seed"].values())
        assert row["auroc"] == pytest.approx(np.mean(figures))
        assert row["sd"] == pytest.approx(np.std(figures, ddof=1))
        low, high = row["ci95"]
        assert low <= row["auroc"] <= high
    assert table[1]["training_images"] < table[2]["training_images"]


def test_the_figures_follow_from_the_scores_that_are_written(place: Path) -> None:
    found, table = metrics(place, "ours"), {row["share"]: row for row in metrics(place, "ours")["table"]}
    for share, row in table.items():
        for seed, value in row["per_seed"].items():
            scores = read_scores(place / "ours" / f"scores-{share}-seed-{seed}.csv")
            assert kind_table(scores.labels, scores.scores, scores.patients).macro_auroc == pytest.approx(value)
    largest = read_scores(place / "ours" / "scores.csv")
    each = [read_scores(file).scores for file in (place / "ours").glob("scores-1-seed-*.csv")]
    assert np.allclose(largest.scores, np.mean(each, axis=0), atol=1e-6)
    assert found["macro_auroc"] == table["1"]["auroc_of_mean"]
    assert found["images"] == len(largest.study_ids)
    validation = read_scores(place / "ours" / "validation_scores.csv")
    assert not set(validation.study_ids) & set(largest.study_ids)


def test_differences_are_those_of_the_tables(place: Path) -> None:
    ours, scratch = ({row["share"]: row for row in metrics(place, name)["table"]} for name in ("ours", "scratch"))
    for share in ("0.3", "1"):
        for key, other in (("over_zero_shot", ours["zero-shot"]), ("over_baseline", scratch[share])):
            found = ours[share][key]
            assert found["difference"] == pytest.approx(ours[share]["auroc"] - other["auroc"])
            low, high = found["ci95"]
            assert low <= found["difference"] <= high
    assert [row.share for row in read_result(place / "ours").figures.table] == list(ours)
    header, *rows = table_rows([ShareRow(**row) for row in ours.values()])
    assert header[-2:] == ["above zero-shot", "above baseline"]
    assert all(len(row) == len(header) for row in rows)
    assert rows[0][-2:] == ["", ""]


def test_a_baseline_of_other_images_is_refused(place: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    lines = (place / "scratch" / "scores-1-seed-0.csv").read_text().splitlines()
    (tmp_path / "other" / "scores-1-seed-0.csv").write_text("\n".join(lines[:-1]) + "\n")
    with pytest.raises(XLIPError, match="a baseline of other images or kinds"):
        finetune_to(replace(config(place, "ours"), baseline=str(tmp_path / "other")))


def test_the_evaluator_gives_what_every_classifying_one_gives(place: Path) -> None:
    cases = open_cases(str(place / "set"), image_column="path", patient_column="", kinds=KINDS, split="test")
    options = {"fractions": "1", "seeds": "0", "recipe": RECIPE, "replicates": 10}
    model = tiny_model().eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    result = FineTuning(data=str(place / "set"), **options).run(model, cases)
    asked = {"macro_auroc", "macro_ci95", "macro_auprc", "per_kind", "left_out", "images", "dropped"}
    assert asked <= set(result.figures.to_json())
    assert result.evaluator == FineTuning(data="").name == "finetune"
    assert result.predictions is not None
    assert result.validation is not None
    again = open_cases(str(place / "set"), image_column="path", patient_column="", kinds=KINDS, split="test")
    assert list(result.predictions.study_ids) == [case.study_id for case in again.items]
    assert result.identity["checkpoint"] == "in memory"
    assert set(result.predictions.groups) == {"source", "view"}
    assert result.figures.sanity.permuted_labels.holds
    controlled = FineTuning(data=str(place / "set"), source_controlled=True, **options).run(model, again)
    for kind, figures in controlled.figures.source_controlled.items():
        assert figures.auroc == controlled.figures.per_kind[kind].auroc  # one source holds everything
        assert figures.sources == ("phantom",)
    assert all(tensor.equal(before[name]) for name, tensor in model.state_dict().items())


def test_the_evaluator_refuses_other_cases_and_misspelt_options(place: Path) -> None:
    others = open_cases(str(place / "set"), image_column="path", patient_column="", kinds=KINDS, split="train")
    quick = {"least_steps": 1, "most_steps": 1, "mode": "probe"}
    one = FineTuning(data=str(place / "set"), fractions=(1.0,), seeds=(0,), recipe=quick, replicates=2)
    with pytest.raises(XLIPError, match="expected the test part of the set that is trained on"):
        one.run(tiny_model().eval(), others)
    with pytest.raises(XLIPError, match=r"finetune\.recipe: got an unexpected keyword argument 'step'"):
        replace(one, recipe={"step": 1}).run(tiny_model().eval(), others)
    with pytest.raises(XLIPError, match="expected the set to train on in the option `data`"):
        replace(one, data="").run(tiny_model().eval(), replace(others, name="x", items=[], origin=None))


def test_the_command_goes_on_where_it_stopped(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "again.yaml").write_text(
        f"model: {place / 'model'}\ndata: {place / 'set'}\nout: {place / 'ours'}\naugment: null\n"
        f"kinds: {KINDS}\nfractions: 0.3,1\nseeds: 0,1\nreplicates: 30\n"
        "recipe: {least_steps: 4, most_steps: 4, batch_size: 8, checks: 2}\n"
    )
    before = metrics(place, "ours")["table"]
    assert cli.main(["finetune", "--config", str(place / "again.yaml")]) == 0
    shown = capsys.readouterr().out
    assert "share-0.3-seed-0" in shown
    assert "zero-shot" in shown
    assert f"xlip predict --model {place / 'ours'}" in shown
    assert "Fine-tuning on" in (place / "ours" / "report.html").read_text("utf-8")
    after = metrics(place, "ours")["table"]
    assert [row["per_seed"] for row in after] == [row["per_seed"] for row in before]
    with (place / "ours" / "scores.csv").open(newline="") as stream:
        assert next(csv.reader(stream))[:2] == ["study_id", "patient_id"]
