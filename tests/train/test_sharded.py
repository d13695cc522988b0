"""Weights split over two processes train as whole ones do, and go on with any number of processes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from runs import command, finish, log_rows, prepare_streams, small_run
from xlip.errors import XLIPError
from xlip.train.loop import pretrain
from xlip.train.optim import OptimConfig
from xlip.train.sharding import refuse_with_shards


@pytest.mark.slow
def test_two_shards_are_saved_and_go_on_as_one(tmp_path: Path) -> None:
    data = prepare_streams(tmp_path / "sets", 12)
    steady = {"optim": OptimConfig(warmup_steps=20)}
    pretrain(small_run(data, tmp_path / "whole", **steady))
    parts = small_run(data, tmp_path / "parts", shard=True, **steady)
    finish(command(replace(parts, steps=2), processes=2))
    assert (tmp_path / "parts" / "checkpoints" / "step-00000002").is_dir()
    saved = load_file(tmp_path / "parts" / "checkpoints" / "step-00000002" / "model.safetensors")
    expected = load_file(tmp_path / "whole" / "checkpoints" / "step-00000002" / "model.safetensors")
    assert all(torch.allclose(saved[name], tensor, atol=2e-4) for name, tensor in expected.items())
    pretrain(replace(parts, shard=False, resume=True))
    for row, found in zip(log_rows(tmp_path / "whole"), log_rows(tmp_path / "parts"), strict=True):
        assert found == pytest.approx(row, rel=1e-5, abs=1e-5)


@pytest.mark.slow
def test_what_one_process_saved_is_what_two_shards_save_without_a_step(tmp_path: Path) -> None:
    """Split and gathered again, weights and optimiser are bit for bit what they were."""
    data = prepare_streams(tmp_path / "sets", 12)
    config = small_run(data, tmp_path / "run", steps=2)
    pretrain(config)
    before = {name: load_file(tmp_path / "run" / "checkpoints" / "step-00000002" / f"{name}.safetensors")
              for name in ("model", "optimizer")}  # fmt: skip
    again = replace(config, shard=True, resume="auto")
    finish(command(again, processes=2))
    after = load_file(tmp_path / "run" / "model.safetensors")
    assert all(torch.equal(after[name], tensor) for name, tensor in before["model"].items())


def test_what_is_not_made_for_shards_is_refused() -> None:
    refuse_with_shards({"parts": False})
    with pytest.raises(XLIPError, match=r"shard: not together with optim\.ema"):
        refuse_with_shards({"parts": False, "optim.ema": True})
