"""Commands on data need no package of training, an exported model needs the core alone: `xlip[data]` is enough."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

from xlip.cli import main
from xlip.shipped import graphs_place

BLOCKED = """
import sys
from xlip.cli import DATA, TRAINING, main

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name.partition(".")[0])

BLOCKED = {blocked}
sys.meta_path.insert(0, Absent())
"""
PREPARE = ["prepare", "phantom", "--out", "set", "--options.count", "4", "--options.size", "64", "--workers", "0"]
ON_DATA = [PREPARE, ["inspect", "set"], ["tag", "set", "--out", "tags.parquet"], ["audit", "set", "--workers", "0"]]


def without(blocked: str, code: str, folder: Path) -> str:
    program = BLOCKED.replace("{blocked}", blocked) + code
    done = subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


MEASURED = [
    [*PREPARE[:5], "30", *PREPARE[6:]],
    ["zeroshot", "--model", "GRAPHS", "--data", "set", "--out", "scores", "--replicates", "5"],
    ["zeroshot", "--model", "GRAPHS", "--data", "set", "--out", "query", "--query", "a large pleural effusion"],
    ["embed", "--model", "GRAPHS", "--data", "set", "--out", "index"],
    ["report", "scores", "--model", "GRAPHS", "--data", "set", "--out", "report"],
]


def test_data_is_prepared_shown_tagged_and_audited_without_the_packages_of_training(tmp_path: Path) -> None:
    said = without("TRAINING", f"for words in {ON_DATA!r}: assert main(words) == 0, words", tmp_path)
    assert "kept 4 studies" in said
    assert (tmp_path / "tags.parquet").is_file()


def test_an_exported_model_is_used_without_the_packages_of_data(tmp_path: Path) -> None:
    code = "from xlip import ExportedModel\nprint(ExportedModel.open('phantom').encode_texts(['effusion']).shape)"
    assert "(1, 128)" in without("TRAINING | DATA", code, tmp_path)


def test_an_exported_model_is_measured_and_embeds_without_torch(tmp_path: Path) -> None:
    """`zeroshot`, its page with maps, and `embed`: torch and what comes with it cannot be imported here."""
    words = [[graphs_place("phantom") if word == "GRAPHS" else word for word in line] for line in MEASURED]
    said = without("TRAINING", f"for words in {words!r}: assert main(words) == 0, words", tmp_path)
    assert "macro AUROC" in said
    assert "checkpoint onnx:" in said
    assert "ranking.csv" in said
    page = (tmp_path / "scores" / "report.html").read_text()
    assert "Best and worst cases" in page
    assert page.count("what speaks for it") + page.count("<img") > 3
    scored = json.loads((tmp_path / "scores" / "metrics.json").read_text())
    assert scored["local_share"] == "0.5"  # the map has its part in the scores


def test_graphs_score_as_the_checkpoint_does(tmp_path: Path) -> None:
    """The path without torch is not another rule: the figures are those of the checkpoint."""
    assert main([*PREPARE[:3], str(tmp_path / "set"), "--options.count", "30", *PREPARE[6:]]) == 0
    scores = []
    for name, model in (("torch", "phantom"), ("graphs", graphs_place("phantom"))):
        words = ["zeroshot", "--model", model, "--data", str(tmp_path / "set"), "--out", str(tmp_path / name)]
        assert main([*words, "--replicates", "5"]) == 0
        with (tmp_path / name / "scores.csv").open(newline="") as stream:
            scores.append(list(csv.DictReader(stream)))
    assert [row["study_id"] for row in scores[0]] == [row["study_id"] for row in scores[1]]
    kinds = [name for name in scores[0][0] if f"label:{name}" in scores[0][0]]
    assert len(kinds) == 14
    for one, other in zip(*scores, strict=True):
        assert max(abs(float(one[kind]) - float(other[kind])) for kind in kinds) < 1e-4


@pytest.mark.parametrize(
    ("blocked", "words", "extra"),
    [("TRAINING | DATA", PREPARE, "data"), ("TRAINING", ["pretrain", "--help"], "train")],
    ids=["data", "train"],
)
def test_a_missing_package_is_named_with_the_smallest_extra(
    blocked: str, words: list[str], extra: str, tmp_path: Path
) -> None:
    assert f"pip install 'xlip[{extra}]'" in without(blocked, f"assert main({words!r}) == 2", tmp_path)
