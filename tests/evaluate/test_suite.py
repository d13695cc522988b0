from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path

import pytest
import yaml

from xlip.cli import main
from xlip.errors import XLIPError
from xlip.evaluate.suite import run_suite
from xlip.evaluate.suite_file import Suite, load_suite, suite_names
from xlip.preparation.splits import names as split_names

FINE_TUNING = importlib.util.find_spec("xlip.evaluate.finetuning") is not None
SETS = {"chexpert", "nih", "rsna", "siim", "covidx"}
FEW = {"replicates": 5}


def written(folder: Path, entries: dict[str, dict[str, object]], **data: object) -> Path:
    suite = {"suite": "own", "data": {"phantoms": {"path": "{root}/phantoms", **data}}, "entries": entries}
    (folder / "own.yaml").write_text(yaml.safe_dump(suite, sort_keys=False))
    return folder / "own.yaml"


def own(folder: Path, entries: dict[str, dict[str, object]], **data: object) -> Suite:
    return load_suite(str(written(folder, entries, **data)))


@pytest.mark.parametrize("name", suite_names())
def test_every_suite_of_the_package_is_whole(name: str) -> None:
    if name.startswith("finetune") and not FINE_TUNING:
        pytest.skip("xlip.evaluate.finetuning is not there")
    suite = load_suite(name)
    assert suite.name == name
    assert suite.about
    assert {entry.data for entry in suite.entries} == set(suite.data)
    for item in suite.data.values():
        assert item.phantom or "{root}" in item.path
        assert item.phantom or item.prepare
        assert item.named_split in ("", *split_names())
        assert not item.named_split or f"--split {item.named_split}" in item.prepare


def test_the_five_sets_have_suites_with_their_protocol() -> None:
    others = {"nih_mrm", "chexpert_668", "chexpert_456", "chexpert_5x200", "openi", "padchest", "chestxdet10", "vindr"}
    others |= {
        "ms_cxr",
        "real_mini",
        "real_open",
        "phantom",
        "rsna_medklip",
        "finetune_nih_official",
        "finetune_rsna_gloria",
    }
    assert SETS | others | {f"finetune_{name}" for name in SETS} == set(suite_names())
    for name in SETS:
        entries = load_suite(name).entries
        shares = [entry.options["share"] for entry in entries if entry.evaluator == "probe"]
        assert shares == [0.01, 0.1, 1.0]
        assert {"chance", "prior", "zeroshot"} <= {entry.evaluator for entry in entries}
    chexpert = next(entry for entry in load_suite("chexpert").entries if entry.evaluator == "zeroshot")
    assert chexpert.options["views"] == "max"
    assert all(
        entry.options["source_controlled"]
        for name in ("covidx", "finetune_covidx")
        for entry in load_suite(name).entries
        if entry.evaluator in ("zeroshot", "probe", "finetune")
    )
    probes = [entry for entry in load_suite("chexpert").entries if entry.evaluator == "probe"]
    assert {entry.options["uncertain"] for entry in probes} == {"chexpert"}
    assert load_suite("finetune_chexpert").entries[0].options["recipe"] == {"uncertain": "chexpert"}


def test_one_faulty_entry_costs_one_line_and_the_rest_goes_on(checkpoint: Path, phantoms: Path, tmp_path: Path) -> None:
    (tmp_path / "none.yaml").write_text(
        "sets: {none: {version: 1, kinds: {No_Finding: {positive: [a], negative: [b]}}}}"
    )
    entries = {
        "kindless": {"evaluator": "zeroshot", "data": "phantoms", "prompts": str(tmp_path / "none.yaml")},
        "splitless": {"evaluator": "probe", "data": "phantoms", "train_split": "learn"},
        "good": {"evaluator": "zeroshot", "data": "phantoms"},
    }
    said: list[str] = []
    suite = own(tmp_path, entries)
    root = str(phantoms.parent)
    outcomes = run_suite([str(checkpoint)], suite, tmp_path / "out", root=root, options=FEW, say=said.append)
    by_name = {one.entry: one for one in outcomes}
    assert by_name["good"].result is not None
    assert by_name["good"].problems == ()
    for name in ("kindless", "splitless"):
        assert by_name[name].result is None
        assert len(by_name[name].problems) == 1
    assert sum("FAULT" in line for line in said) == 2
    assert not any("\n" in line for line in said)
    assert any(by_name["good"].result.identity["split"] in line for line in said)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"good", "summary.json", "summary.md"}
    assert {"metrics.json", "scores.csv"} <= {path.name for path in (tmp_path / "out" / "good").iterdir()}
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert [bool(entry["problems"]) for entry in summary["entries"]] == [True, True, False]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"checksum": "0123456789ab"}, "checksum [0-9a-f]{12}, the suite declares 0123456789ab"),
        ({"images": 5}, r"images \d+, the suite declares 5"),
        ({"named_split": "nih/official"}, "prepared with the split 'of its source', the suite needs 'nih/official'"),
        ({"split": "val"}, "no study of split 'val'"),
        ({"path": "{root}/nowhere", "prepare": "xlip prepare it"}, "no prepared set at .*make it with `xlip prepare"),
    ],
)
def test_another_split_than_the_declared_one_is_refused(
    data: dict[str, object], message: str, checkpoint: Path, phantoms: Path, tmp_path: Path
) -> None:
    suite = own(tmp_path, {"zeroshot": {"evaluator": "zeroshot", "data": "phantoms"}}, **data)
    (outcome,) = run_suite([str(checkpoint)], suite, tmp_path / "out", root=str(phantoms.parent), options=FEW)
    assert outcome.result is None
    assert len(outcome.problems) == 1
    assert re.search(message, outcome.problems[0])


def test_the_right_checksum_passes_wherever_the_set_is(checkpoint: Path, phantoms: Path, tmp_path: Path) -> None:
    entries = {"zeroshot": {"evaluator": "zeroshot", "data": "phantoms"}}
    (first,) = run_suite(
        [str(checkpoint)], own(tmp_path, entries), tmp_path / "a", places={"phantoms": str(phantoms)}, options=FEW
    )
    checksum = first.result.identity["split"].rsplit(":", 1)[1]
    suite = own(tmp_path, entries, checksum=checksum)
    (second,) = run_suite([str(checkpoint)], suite, tmp_path / "b", root=str(phantoms.parent), options=FEW)
    assert second.problems == ()
    with pytest.raises(XLIPError, match="suite own has no such set; expected phantoms"):
        run_suite([str(checkpoint)], suite, tmp_path / "c", places={"other": "x"})


def test_a_column_of_one_class_is_a_fault_beside_the_figures_of_the_others(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from xlip.preparation.run import prepare

    prepare("phantom", Path(), tmp_path / "phantoms", workers=0, options={"count": 12, "size": 64})
    suite = written(tmp_path, {"zeroshot": {"evaluator": "zeroshot", "data": "phantoms"}})
    arguments = ["--model", str(checkpoint), "--root", str(tmp_path), "--out", str(tmp_path / "out")]
    assert main(["evaluate", "--suite", str(suite), *arguments, "--replicates", "5"]) == 1
    shown = capsys.readouterr().out
    assert "its labels are all 12 absent, no AUROC exists" in shown
    metrics = json.loads((tmp_path / "out" / "zeroshot" / "metrics.json").read_text())
    assert any(figures["auroc"] is not None for figures in metrics["per_kind"].values())


def test_several_models_stand_in_one_table_and_a_broken_one_does_not_stop_the_others(
    checkpoint: Path, phantoms: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    suite = written(tmp_path, {"zeroshot": {"evaluator": "zeroshot", "data": "phantoms", "preprocess": "squash"}})
    (tmp_path / "bert").mkdir()
    (tmp_path / "bert" / "config.json").write_text('{"model_type": "bert"}')
    models = ["--model", str(tmp_path / "bert"), str(checkpoint)]
    places = ["--data", f"phantoms={phantoms}"]
    arguments = ["--suite", str(suite), "--out", str(tmp_path / "out"), "--replicates", "5", "--no-cache"]
    assert main(["evaluate", *models, *places, *arguments]) == 1
    shown = capsys.readouterr().out
    assert "FAULT" in shown
    assert "architecture 'bert', expected 'xlip'" in shown
    metrics = json.loads((tmp_path / "out" / "tiny" / "zeroshot" / "metrics.json").read_text())
    assert metrics["preprocessing"] == "squash/64"
    assert "| bert | * | failed |" in (tmp_path / "out" / "summary.md").read_text()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("suite: a\nentries: {}", "expected a `data`"),
        ("[1, 2]", "expected names with values"),
        ("a: [", "not YAML"),
        ("suite: a\nbooks: 1", "unknown key 'books'"),
        ("suite: a\ndata: {b: {paths: c}}\nentries: {d: {data: b}}", "data.b: unknown key 'paths'"),
        ("suite: a\ndata: {b: {kinds: [Flu]}}\nentries: {d: {data: b}}", "unknown kind 'Flu'"),
        ("suite: a\ndata: {b: {named_split: c}}\nentries: {d: {data: b}}", "unknown split 'c'"),
        ("suite: a\ndata: {b: {}}\nentries: {d: {data: c}}", "entries.d: data: expected one of b; got 'c'"),
        ("suite: a\ndata: {b: {}}\nentries: {d: {data: b, evaluator: e}}", "entries.d: unknown evaluator 'e'"),
        ("suite: a\ndata: {b: {}}\nentries: {d: {data: b, evaluator: zeroshot, view: max}}", "unknown option 'view'"),
        ("suite: a\ndata: {b: {}}\nentries: {d: {data: b, evaluator: chance, preprocess: x}}", "preprocess: expected"),
    ],
)
def test_a_fault_in_a_suite_file_is_named(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(text)
    with pytest.raises(XLIPError) as caught:
        load_suite(str(tmp_path / "own.yaml"))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_suite_lists_the_known_ones() -> None:
    with pytest.raises(
        XLIPError, match=r"suite: expected one of .*chexpert, .*phantom.* or a YAML file; got 'nothing'"
    ):
        load_suite("nothing")
