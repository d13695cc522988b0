from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from evaluations import predictions, result
from xlip.errors import XLIPError
from xlip.results.folder import read_result, write_folder


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
