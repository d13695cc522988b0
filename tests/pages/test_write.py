from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from huggingface_hub import ModelCard

from evaluations import IDENTITY, KINDS, predictions, result
from tiny import tiny_model
from xlip import cli
from xlip.metrics.calibration import expected_calibration_error
from xlip.metrics.thresholds import at_threshold, choose_threshold
from xlip.pages.groups import worst_group_words
from xlip.pages.kind_table import kind_csv
from xlip.pages.model_card import limits, model_card
from xlip.pages.operating_points import operating_points
from xlip.pages.sections import MEANING, temperature_rows
from xlip.pages.training_facts import TrainingFacts, TrainingSet, training_facts
from xlip.pages.write import add_pages, evaluation_page
from xlip.results.figures import Gain, SeedFigures, ShareRow
from xlip.results.folder import write_folder
from xlip.results.result import Result


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    error = capsys.readouterr().err
    assert error.startswith("xlip: ")
    assert error.count("\n") == 1
    return error


def words(validation: bool = False, **more: object) -> str:
    return page_of(result(validation=validation, **more))


def page_of(evaluation: Result) -> str:
    return evaluation_page(evaluation)[0].html()


def test_thresholds_come_from_validation_where_there_is_one_and_the_oracle_is_labelled() -> None:
    test, validation = predictions(), predictions(1)
    with_validation, without = operating_points(test, validation), operating_points(test, None)
    assert with_validation is not None
    assert without is not None
    assert (with_validation.rule, without.rule) == ("val", "0.5")
    assert set(with_validation.table) == set(KINDS) - {"Hernia"}  # it has no positive
    chosen = choose_threshold(validation.labels[:, 0], validation.scores[:, 0])
    assert with_validation.chosen()["Effusion"] == at_threshold(test.labels[:, 0], test.scores[:, 0], chosen)
    assert "Rule oracle (chosen on the test set): the threshold with the greatest F1 on the test images" in words()
    assert "There are no validation scores to choose a threshold on." in words()
    assert "There are no validation scores" not in words(validation=True)


def test_temperatures_are_fitted_on_validation_alone() -> None:
    test = predictions()
    assert temperature_rows(test, None) == []
    rows = {row[0]: row for row in temperature_rows(test, predictions(1))}
    assert set(rows) == {"Effusion", "Mass", "Pleural Thickening"}
    before = expected_calibration_error(test.labels[:, 0], test.scores[:, 0])
    assert rows["Effusion"][2] == f"{before:.3f}"
    other = {row[0]: row for row in temperature_rows(test, predictions(2))}
    assert other["Effusion"][1] != rows["Effusion"][1]


def test_the_csv_repeats_metrics_and_decisions() -> None:
    evaluation = result(validation=True)
    assert evaluation.predictions is not None
    points = operating_points(evaluation.predictions, evaluation.validation)
    assert points is not None
    rows = {row["kind"]: row for row in csv.DictReader(kind_csv(evaluation.kinds, points).splitlines())}
    assert list(rows) == list(KINDS)
    for kind, figures in evaluation.kinds.per_kind.items():
        assert rows[kind]["auroc"] == ("" if figures.auroc is None else str(figures.auroc))
        assert rows[kind]["positives"] == str(figures.positives)
    assert rows["Hernia"]["in_macro"] == "0"
    assert rows["Hernia"]["f1@val"] == ""
    assert float(rows["Mass"]["f1@oracle"]) == points.table["Mass"]["oracle"].f1
    assert float(rows["Mass"]["threshold@0.5"]) == 0.5


def test_what_is_written_and_how_little_else(tmp_path: Path) -> None:
    write_folder(result(), tmp_path / "evaluation")
    files = add_pages(result(), tmp_path / "evaluation")
    names = {"report.html", "per_kind.csv", "README.md", "metrics.json", "scores.csv", "dropped.csv"}
    assert {path.name for path in (tmp_path / "evaluation").iterdir()} == names
    assert {path.name for path in files} == {"report.html", "per_kind.csv", "README.md"}
    text = files[0].read_text("utf-8")
    assert text.count("<img") == 8
    assert "<script" not in text
    assert "the file is &lt;b&gt;damaged&lt;/b&gt;" in text
    assert all(word in text for word in MEANING)


def test_the_hub_reads_the_card(tmp_path: Path) -> None:
    evaluation = result(validation=True)
    assert evaluation.predictions is not None
    points = operating_points(evaluation.predictions, evaluation.validation)
    card = model_card(evaluation, points, name="tiny", facts=None)
    read = ModelCard(card)
    assert read.data.library_name == "xlip"
    results = {one.metric_name: one.metric_value for one in read.data.eval_results}
    assert results["macro AUROC"] == round(evaluation.macro_auroc, 4)
    assert results["AUROC Effusion"] == round(evaluation.kinds.per_kind["Effusion"].auroc, 4)
    assert "AUROC Hernia" not in results  # it could not be computed
    assert {one.dataset_revision for one in read.data.eval_results} == {IDENTITY["split"]}
    for heading in ("Intended use", "Training data", "Results", "Limits"):
        assert f"## {heading}\n" in card
    assert "**Not a medical device.**" in card
    assert yaml.safe_load(card.split("---")[1])["license"] == "other"


def test_limits_follow_from_the_figures() -> None:
    evaluation = result()
    facts = TrainingFacts((TrainingSet("images", "set", "phantom"),))
    assert evaluation.predictions is not None
    said = "\n".join(limits(evaluation, operating_points(evaluation.predictions, None), facts))
    assert "Too few cases to judge: Hernia." in said
    assert "No validation split" in said
    assert "drawn phantoms alone" in said
    assert "1 images could not be read" in said
    assert "AUROC below" not in said  # all are above
    figures = evaluation.kinds
    mass = figures.per_kind["Mass"].model_copy(update={"auroc": 0.6, "ci95": (0.45, 0.7)})
    per_kind = {**figures.per_kind, "Mass": mass}
    worse = replace(evaluation, figures=figures.model_copy(update={"per_kind": per_kind}))
    said = "\n".join(limits(worse, None, None))
    assert "AUROC below 0.7 for Mass" in said
    assert "the interval reaches 0.5: Mass" in said
    assert "phantom" not in said


def test_training_facts_come_from_the_run_and_the_statistics_of_its_sets(tmp_path: Path) -> None:
    run = tmp_path / "runs" / "one"
    (tmp_path / "data" / "pairs").mkdir(parents=True)
    run.mkdir(parents=True)
    stats = {"source": "openi", "kept": 9, "images": 8, "reports": 7, "patients": 6}
    (tmp_path / "data" / "pairs" / "stats.json").write_text(json.dumps(stats))
    config = {
        "data": {"pairs": [{"path": "data/pairs"}], "images": [{"path": "/gone/nih"}], "texts": []},
        "objectives": {"contrastive": {}},
        "steps": 10,
        "seed": 1,
        "model": {"image_size": 64},
    }
    (run / "run.json").write_text(json.dumps({"config": config}))
    facts = training_facts(run)
    assert facts is not None
    pairs, images = facts.sets
    assert (pairs.source, pairs.counts) == ("openi", {"studies": 9, "images": 8, "reports": 7, "patients": 6})
    assert (images.name, images.source, images.counts) == ("nih", "", {})
    card = model_card(result(), None, name="one", facts=facts)
    assert "| pairs | pairs | openi | 9 | 8 | 7 | 6 |" in card
    assert "/gone" not in card
    assert training_facts(tmp_path) is None
    (run / "run.json").write_text("{}")
    with pytest.raises(ValueError, match=r"run\.json: expected the config of a run"):
        training_facts(run)


def test_other_evaluators_show_what_is_theirs() -> None:
    table = (
        ShareRow(share="zero-shot", auroc=0.6, sd=None, ci95=(0.5, 0.7)),
        ShareRow(
            share="0.01",
            training_images=8,
            auroc=0.7,
            sd=0.01,
            ci95=(0.6, 0.8),
            over_zero_shot=Gain(difference=0.1, ci95=(0.05, 0.15), p=0.002),
        ),
    )
    text = words(evaluator="finetune", table=table, share=0.01, seeds=(0, 1))
    assert "<td>1 %</td><td>8</td><td>0.700</td><td>0.010</td><td>0.600 to 0.800</td>" in text
    assert "<td>+0.100 (0.050 to 0.150)</td>" in text.replace("&#43;", "+")
    seed = SeedFigures(seed=3, train_images=8, macro_auroc=0.71, per_kind={}, c=0.1, untrained=())
    text = words(evaluator="probe", per_seed=(seed,), share=1.0, macro_auroc_mean=0.71, macro_auroc_sd=None)
    assert "<td>3</td><td>8</td><td>0.710</td>" in text
    assert "Label shares and seeds" not in words()


def test_every_group_stands_on_the_page_and_the_worst_one_is_named() -> None:
    evaluation = result()
    groups = evaluation.kinds.subgroups
    assert set(groups) == {"sex"}  # all views are alike
    assert [group.value for group in groups["sex"]] == ["F", "M", "unknown"]
    assert sum(group.images for group in groups["sex"]) == 80
    name, worst = evaluation.kinds.worst_group()
    gaps = {group.value: group.macro_auroc - group.whole_macro_auroc for group in groups["sex"] if group.kinds}
    assert (name, worst.value) == ("sex", min(gaps, key=gaps.get))
    text = words()
    assert f"The worst group is sex {worst.value} ({worst.images} images): macro AUROC {worst.macro_auroc:.3f}" in text
    for group in groups["sex"]:
        assert f"<td>sex {group.value}</td>" in text
    assert "Do rare findings fare as well?" in text
    alone = evaluation.kinds.model_copy(update={"subgroups": {}})
    assert "Does it serve every group?" not in page_of(replace(evaluation, figures=alone))
    better = {"sex": tuple(one.model_copy(update={"whole_macro_auroc": 0.0}) for one in groups["sex"])}
    said = worst_group_words(evaluation.kinds.model_copy(update={"subgroups": better}))
    assert said.startswith("No group lies below all images")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--model", "m"], "--model and --data go together"),
        (["--data", "d"], "--model and --data go together"),
    ],
)
def test_model_and_data_go_together(
    options: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["report", str(tmp_path), "--out", str(tmp_path / "out"), *options]) == 2
    assert message in one_line(capsys)
    assert not (tmp_path / "out").exists()


def test_another_model_than_the_evaluated_one_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_folder(result(), tmp_path / "evaluation")
    tiny_model().save_pretrained(tmp_path / "model")
    capsys.readouterr()
    options = ["--out", str(tmp_path / "out"), "--model", str(tmp_path / "model"), "--data", str(tmp_path)]
    assert cli.main(["report", str(tmp_path / "evaluation"), *options]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert "the evaluation is of abc123; name that one" in error
    assert not (tmp_path / "out").exists()


def test_every_entry_of_a_suite_gets_a_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tiny_model().save_pretrained(tmp_path / "model")
    suite = {
        "suite": "small",
        "about": "For tests.",
        "data": {"phantom": {"phantom": {"count": 60, "size": 64, "holdout": 0.5}, "split": "test"}},
        "entries": {
            name: {"evaluator": name, "data": "phantom", **options}
            for name, options in (
                ("chance", {}),
                ("zeroshot", {}),
                ("query", {"text": "an effusion"}),
                ("retrieval", {}),
                ("grounding", {}),
            )
        },
    }
    (tmp_path / "suite.yaml").write_text(yaml.safe_dump(suite))
    options = ["--suite", str(tmp_path / "suite.yaml"), "--model", str(tmp_path / "model"), "--no-cache"]
    code = cli.main(["evaluate", *options, "--replicates", "10", "--out", str(tmp_path / "out")])
    output = capsys.readouterr()
    assert "no report" not in output.err
    assert code in (0, 1)  # a kind of one class is a fault of the suite, not of the report
    pages = {name: (tmp_path / "out" / name / "report.html").read_text("utf-8") for name in suite["entries"]}
    assert "Best and worst cases" in pages["zeroshot"]
    assert "Best and worst cases" not in pages["chance"] + pages["query"] + pages["retrieval"]
    assert "Each finding" in pages["chance"]
    assert "Retrieval examples" in pages["retrieval"]
    assert "pointing" in pages["grounding"]
    assert "an effusion" in pages["query"]
