from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xlip import cli
from xlip.errors import XLIPError
from xlip.explain.choosing import thresholds
from xlip.images.files import encode
from xlip.phantom import generate


@given(st.integers(10, 60), st.floats(0.5, 0.99), st.integers(0, 999), st.booleans())
def test_no_more_of_the_images_without_a_finding_reach_its_threshold_than_asked_and_a_lower_one_lets_more_in(
    count: int, specificity: float, seed: int, ties: bool
) -> None:
    draw = np.random.default_rng(seed)
    scores = draw.random((count, 2))
    scores = np.floor(10 * scores) / 10 if ties else scores
    absent = np.ones((count, 2), bool)
    rule = thresholds(scores, absent, ["Mass", "Edema"], specificity, "here")
    for k, kind in enumerate(("Mass", "Edema")):
        reached = scores[:, k] >= rule.of(kind)
        assert reached.mean() <= 1 - specificity + 1e-9
        lower = scores[scores[:, k] < rule.of(kind), k].max()
        assert (scores[:, k] >= lower).mean() > 1 - specificity - 1e-9


def test_images_with_a_finding_do_not_move_its_threshold() -> None:
    scores = np.linspace(0, 0.5, 40)[:, None]
    absent = np.ones((40, 1), bool)
    alone = thresholds(scores, absent, ["Mass"], 0.95, "here")
    more = np.concatenate([scores, np.full((30, 1), 0.99)])
    also = thresholds(more, np.concatenate([absent, np.zeros((30, 1), bool)]), ["Mass"], 0.95, "here")
    assert alone.of("Mass") == also.of("Mass")


def test_a_kind_with_few_images_without_it_has_the_threshold_of_all() -> None:
    absent = np.ones((30, 2), bool)
    absent[5:, 1] = False
    rule = thresholds(np.random.default_rng(0).random((30, 2)), absent, ["Mass", "Edema"], 0.9, "here")
    assert set(rule.of_kind) == {"Mass"}
    assert rule.of("Edema") == rule.threshold
    with pytest.raises(XLIPError, match="at least 10 images"):
        thresholds(np.zeros((30, 2)), ~absent & False, ["Mass", "Edema"], 0.9, "here")


def test_the_command_measures_the_labelled_images_and_explain_finds_its_file(checkpoint: Path, tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    for file in checkpoint.iterdir():
        (model / file.name).symlink_to(file)
    with (tmp_path / "set.csv").open("w", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(["path", "Effusion", "Mass"])
        for index in range(24):
            phantom = generate(index, size=64)
            (tmp_path / f"{index}.png").write_bytes(encode(phantom.pixels))
            table.writerow([f"{index}.png", phantom.labels["Effusion"], phantom.labels["Mass"]])
    assert cli.main(["abstain", "--model", str(model), "--data", str(tmp_path / "set.csv")]) == 0
    rule = json.loads((model / "abstention.json").read_text("utf-8"))
    assert set(rule["of_kind"]) == {"Effusion", "Mass"}
    assert "95% of the images without a finding" in rule["chosen_on"]
    words = ["--model", str(model), "--kinds", "Effusion,Mass", "--out", str(tmp_path / "out")]
    assert cli.main(["explain", str(tmp_path / "set.csv"), *words, "--side", "64"]) == 0
    found = json.loads((tmp_path / "out" / "explanations.json").read_text("utf-8"))
    assert found["abstention"] == rule
    for number, kind in enumerate(("Effusion", "Mass")):
        rows = [film["explanations"][number] for film in found["films"]]
        absent = [row for index, row in enumerate(rows) if generate(index, size=64).labels[kind] == 0]
        assert sum(row["found"] for row in absent) <= 0.05 * len(absent)
        assert {row["threshold"] for row in rows} == {round(rule["of_kind"][kind], 4)}
