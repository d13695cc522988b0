from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from evaluations import predictions, result
from xlip.errors import XLIPError
from xlip.results.folder import metrics_json, read_result, result_of_json, write_folder

OLD = json.loads(Path(__file__).with_name("old_metrics.json").read_text("utf-8"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_folder(result(validation=True), tmp_path / "evaluation")
    return tmp_path / "evaluation"


def test_a_folder_and_the_result_in_memory_are_the_same_evaluation(folder: Path) -> None:
    read, kept = read_result(folder), result(validation=True)
    assert read.evaluator == kept.evaluator == "zeroshot"
    assert read.figures == kept.figures
    assert read.identity == kept.identity
    assert read.dropped == kept.dropped == (("set/9", "the file is <b>damaged</b>"),)
    assert read.kinds.counted == ["Effusion", "Mass", "Pleural_Thickening"]
    for ours, theirs in ((read.predictions, kept.predictions), (read.validation, kept.validation)):
        assert ours is not None
        assert theirs is not None
        assert np.array_equal(ours.scores, theirs.scores)
        assert np.array_equal(ours.labels, theirs.labels)


def test_the_identity_comes_in_a_fixed_order_and_holds_no_figure(folder: Path) -> None:
    assert list(read_result(folder).identity) == ["checkpoint", "split", "prompts", "preprocessing"]


def test_files_of_two_evaluations_are_told_apart(folder: Path, tmp_path: Path) -> None:
    other = predictions(5)
    write_folder(replace(result(), predictions=replace(other, scores=1 - other.scores)), tmp_path / "other")
    (folder / "scores.csv").write_bytes((tmp_path / "other" / "scores.csv").read_bytes())
    with pytest.raises(XLIPError, match=r"the AUROC of Effusion is 0\.\d+ in metrics\.json and 0\.\d+ by scores\.csv"):
        read_result(folder)


def test_kinds_that_differ_between_the_files_are_named(folder: Path) -> None:
    metrics = json.loads((folder / "metrics.json").read_text())
    del metrics["per_kind"]["Mass"]
    (folder / "metrics.json").write_text(json.dumps(metrics))
    with pytest.raises(XLIPError, match=r"Mass stands in only one of metrics\.json and scores\.csv"):
        read_result(folder)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", r"metrics\.json: expected JSON without NaN"),
        ('{"macro_auroc": NaN}', r"metrics\.json: expected JSON without NaN; found NaN"),
        ("[]", r"metrics\.json: expected an object"),
    ],
)
def test_a_damaged_file_is_named_in_one_line(content: str, message: str, folder: Path) -> None:
    (folder / "metrics.json").write_text(content)
    with pytest.raises(XLIPError, match=message) as caught:
        read_result(folder)
    assert "\n" not in str(caught.value)


def test_missing_files_are_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(XLIPError, match=r"expected the folder of an evaluation, found no metrics\.json"):
        read_result(tmp_path)
    (folder / "scores.csv").unlink()
    with pytest.raises(XLIPError, match=r"scores\.csv: no such file"):
        read_result(folder)


@pytest.mark.parametrize("name", OLD)
def test_folders_of_the_version_before_typed_figures_are_read(name: str) -> None:
    """Written by every evaluator on phantoms at 4cdecfd, its floats rounded."""
    written = OLD[name]
    found = result_of_json(written, name)
    assert found.evaluator == name
    again = json.loads(json.dumps(metrics_json(found)))
    assert {key: again[key] for key in written} == written
    assert found.figures.headline()


def test_what_zero_shot_wrote_without_its_name_is_read_and_its_groups_are_computed(folder: Path) -> None:
    metrics = json.loads((folder / "metrics.json").read_text())
    groups = read_result(folder).kinds.subgroups
    for name in ("evaluator", "subgroups", "long_tail", "seconds"):
        del metrics[name]
    (folder / "metrics.json").write_text(json.dumps(metrics))
    found = read_result(folder)
    assert found.evaluator == "zeroshot"
    assert [(one.value, one.images, one.macro_auroc) for one in found.kinds.subgroups["sex"]] == [
        (one.value, one.images, one.macro_auroc) for one in groups["sex"]
    ]


def test_a_field_that_no_version_has_is_refused_with_what_to_do(folder: Path) -> None:
    metrics = json.loads((folder / "metrics.json").read_text())
    metrics["horoscope"] = {"aries": 0.5}
    (folder / "metrics.json").write_text(json.dumps(metrics))
    with pytest.raises(XLIPError, match=r"metrics\.json\.horoscope: .*; evaluate again with this version of xlip"):
        read_result(folder)


def test_the_file_names_its_schema_and_a_newer_one_is_refused_with_the_remedy(folder: Path) -> None:
    data = json.loads((folder / "metrics.json").read_text())
    assert data["schema_version"] == 2
    assert data["xlip"] == read_result(folder).version
    newer = r"schema version 3, by xlip .*: update xlip, or evaluate again"
    for version, message in ((3, newer), ("2", r"expected a whole number from 1, got '2'; evaluate again")):
        (folder / "metrics.json").write_text(json.dumps({**data, "schema_version": version}))
        with pytest.raises(XLIPError, match=message):
            read_result(folder)
    del data["schema_version"], data["xlip"]
    (folder / "metrics.json").write_text(json.dumps(data))
    assert read_result(folder).version == ""


def test_an_evaluation_replaces_an_earlier_one_whatever_that_wrote_and_nothing_else(folder: Path) -> None:
    whole = replace(
        result(), validation=predictions(), readings=dict.fromkeys(("pos", "neg", "pnc", "no_x"), predictions())
    )
    for _ in range(2):
        write_folder(whole, folder)
    write_folder(result(), folder)
    assert not list(folder.glob("scores-*.csv"))
    (folder / "notes.txt").write_text("mine", "utf-8")
    with pytest.raises(XLIPError, match=r"holds something else than an evaluation \(notes.txt\)"):
        write_folder(result(), folder)
    assert (folder / "notes.txt").read_text("utf-8") == "mine"
