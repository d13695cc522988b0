"""`xlip zeroshot --query` and `--prompts all`, as users call them."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest

from xlip.cli import main
from xlip.images.files import encode
from xlip.phantom import generate
from xlip.study.prompts import prompt_sets


@pytest.fixture(scope="module")
def unlabelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unlabelled")
    for index in range(6):
        (folder / f"{index}.png").write_bytes(encode(generate(index, size=64).pixels, lossless=True))
    (folder / "images.csv").write_text("path\n" + "".join(f"{index}.png\n" for index in range(6)))
    return folder / "images.csv"


def test_free_text_ranks_images_without_labels(
    unlabelled: Path, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--model", str(checkpoint), "--data", str(unlabelled), "--out", str(tmp_path / "out")]
    assert main(["zeroshot", *arguments, "--query", "left-sided pleural effusion", "--neutral", "normal chest"]) == 0
    shown = capsys.readouterr().out
    assert "query 'left-sided pleural effusion' against 'normal chest'; 6 images" in shown
    assert re.search(r"split images:6:[0-9a-f]{12}", shown)
    rows = list(csv.DictReader((tmp_path / "out" / "ranking.csv").read_text("utf-8").splitlines()))
    assert [row["rank"] for row in rows] == list("123456")
    scores = [float(row["score"]) for row in rows]
    assert scores == sorted(scores, reverse=True)
    assert all(-1 <= float(row["cosine"]) <= 1 for row in rows)
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["query"] == "left-sided pleural effusion"
    assert "per_kind" not in metrics


def test_free_text_against_a_label_gives_its_area(
    phantoms: Path, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--model", str(checkpoint), "--data", str(phantoms), "--out", str(tmp_path / "out")]
    assert main(["zeroshot", *arguments, "--query", "pleural effusion", "--kinds", "effusion"]) == 0
    area = json.loads((tmp_path / "out" / "metrics.json").read_text())["per_kind"]["Effusion"]["auroc"]
    assert f"AUROC against Effusion {area:.3f}" in capsys.readouterr().out


def test_all_prompts_show_how_much_the_choice_matters(
    phantoms: Path, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--model", str(checkpoint), "--data", str(phantoms), "--out", str(tmp_path / "out")]
    assert main(["zeroshot", *arguments, "--prompts", "all", "--replicates", "5"]) == 0
    found = json.loads((tmp_path / "out" / "metrics.json").read_text())["sensitivity"]
    assert list(found["sets"]) == [one.identifier for one in prompt_sets().values()]
    for kind, spread in found["spread"].items():
        areas = [one["per_kind"][kind] for one in found["sets"].values()]
        assert spread is None if areas[0] is None else spread == pytest.approx(max(areas) - min(areas))
    assert "spread" in capsys.readouterr().out


def test_evaluate_says_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "--suite", "phantom", "--out", str(tmp_path / "out")]) == 2
    assert "name at least one model with --model" in capsys.readouterr().err
    assert main(["evaluate", "--suite", "phantom", "--out", "x", "--model", "a", "--data", "phantom"]) == 2
    assert "expected NAME=PATH, got 'phantom'" in capsys.readouterr().err
