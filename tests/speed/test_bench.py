"""`xlip bench` can run: its smallest form, every part; what it compares does the same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from xlip.cli import main
from xlip.speed.made_up import Shape, made_up_batch
from xlip.speed.rounds import in_turns
from xlip.speed.run import SMALLEST, BenchConfig, bench
from xlip.speed.step import PlainDual, ratios

SMALL = Shape(SMALLEST, pairs=3, lone_images=0, lone_texts=0, tokens=12, shortest=6, kinds=3, vocabulary=200)


@pytest.mark.parametrize("part", ["data", "step", "encode", "prepare"])
def test_the_smallest_form_of_each_part_runs_and_says_on_what(part: str, tmp_path: Path) -> None:
    out = tmp_path / "bench.json"
    found = bench(part, BenchConfig(out=str(out), rounds=1, smallest=True, count=20))
    assert json.loads(out.read_text())["part"] == part
    assert found["machine"]["matmul_gflops"]["fp32"] > 0
    assert found["machine"]["threads"] == torch.get_num_threads()
    if part == "step":
        assert set(found["ratios"]) == set(found["goals"])
    if part == "encode":
        assert found["least_cosine"] > 0.99


def test_the_command_prints_json(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "encode", "--smallest", "--rounds", "1"]) == 0
    assert json.loads(capfd.readouterr().out)["part"] == "encode"


def test_the_plain_dual_encoder_learns() -> None:
    torch.manual_seed(0)
    plain, batch = PlainDual(SMALL), made_up_batch(SMALL)
    optimizer = torch.optim.AdamW(plain.parameters(), lr=1e-3)
    losses = []
    for _ in range(8):
        loss = plain(batch.pixels, batch.reports.ids, batch.reports.mask)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]


def test_ratios_are_of_the_least_seconds() -> None:
    names = ("plain dual encoder", "contrastive", "full", "reencode", "same losses, separate passes")
    found = {name: {"cpu_seconds": float(number)} for number, name in enumerate(names, 1)}
    assert ratios(found) == {
        "contrastive": 2.0, "full": 3.0, "reencode": 4.0, "full, of the same losses in separate passes": 0.6,
    }  # fmt: skip
    turns: list[str] = []
    in_turns({"a": lambda: turns.append("a"), "b": lambda: turns.append("b")}, 2)
    assert turns == ["a", "b"] * 3
