"""A plan's figures: counted operations against formulas, kept bytes against what torch keeps, formulas by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from runs import prepare_streams, small_run, written
from tiny import CONFIG
from xlip.cli import main
from xlip.errors import XLIPError
from xlip.models.machine import attention_kernel
from xlip.objectives.registry import OBJECTIVE_DEFAULTS, build_objectives
from xlip.speed.dry_run import dry_run
from xlip.speed.estimate import StepCost, step_cost
from xlip.speed.made_up import Shape, made_up_batch, made_up_model
from xlip.speed.plan import PlanConfig, network_bytes, plan, planned
from xlip.train.config import PretrainConfig
from xlip.train.optim import OptimConfig
from xlip.train.pretrainer import Pretrainer

SHAPE = Shape(CONFIG, pairs=3, lone_images=2, lone_texts=2, tokens=12, shortest=6, kinds=3, vocabulary=400)


def test_counting_without_numbers_is_counting_with_them() -> None:
    cost = step_cost(SHAPE, OBJECTIVE_DEFAULTS)
    model = made_up_model(SHAPE).train()
    task, batch = Pretrainer(model, build_objectives(OBJECTIVE_DEFAULTS)), made_up_batch(SHAPE)
    weights, kept = {p.data_ptr() for p in model.parameters()}, {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.untyped_storage().data_ptr() not in weights:
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with FlopCounterMode(display=False) as counter, attention_kernel("plain"):
        with saved_tensors_hooks(keep, lambda tensor: tensor):
            total = task(batch, 1.0, torch.Generator()).total
        total.backward()
    assert cost.flops == pytest.approx(counter.get_total_flops(), rel=0.02)
    assert cost.activations == pytest.approx(sum(kept.values()), rel=0.15)
    assert cost.parameters == sum(p.numel() for p in model.parameters()) == cost.learning


def test_operations_grow_with_the_rows_and_are_six_for_each_weight_and_token() -> None:
    large = replace(SHAPE, model=replace(CONFIG, width=64, depth=4, local=False), lone_images=0, lone_texts=0)
    one, two = (step_cost(replace(large, pairs=pairs), {"contrastive": {}}) for pairs in (16, 32))
    assert two.flops == pytest.approx(2 * one.flops, rel=0.02)
    tower = made_up_model(large, "meta").image_tower
    blocks = sum(p.numel() for block in tower.blocks for p in block.parameters())
    tokens = tower.grid**2 + 1
    # Six for each weight and token; attention has two products of tokens x tokens, forward, and twice that backward.
    image = 16 * tokens * (6 * blocks + 12 * 4 * tokens * 64)
    assert image < one.flops < 2 * image


def test_memory_follows_what_learns_is_averaged_split_or_parted() -> None:
    plain = step_cost(SHAPE, {"contrastive": {}})
    assert plain.state == 16 * plain.parameters
    assert step_cost(SHAPE, {"contrastive": {}}, OptimConfig(ema=0.9)).state == 20 * plain.parameters
    frozen = step_cost(SHAPE, {"contrastive": {}}, OptimConfig(freeze_image=-1))
    assert frozen.state == 4 * frozen.parameters + 12 * frozen.learning < plain.state
    assert frozen.activations < plain.activations
    assert step_cost(SHAPE, {"contrastive": {}}, processes=4).state == plain.state // 4
    parted = step_cost(SHAPE, {"contrastive": {}}, parts=2)
    assert parted.activations == plain.activations // 2
    assert 1.2 * plain.flops < parted.flops < 1.5 * plain.flops
    assert step_cost(SHAPE, {"contrastive": {}}, half=True).activations == plain.activations // 2


def test_the_network_carries_gradients_and_embeddings() -> None:
    cost = StepCost(parameters=1000, learning=1000, flops=1.0, activations=0, state=0, inputs=0)
    assert network_bytes(cost, SHAPE, 1, shard=False) == 0
    rows = SHAPE.images + SHAPE.pairs + SHAPE.lone_texts
    embeddings = 3 * 0.75 * 4 * rows * 4 * CONFIG.embed_dim
    assert network_bytes(cost, SHAPE, 4, shard=False) == 2 * 0.75 * 4000 + embeddings
    assert network_bytes(cost, SHAPE, 4, shard=True) == 3 * 0.75 * 4000 + embeddings


def test_hours_rates_and_checkpoints_follow_from_the_given_rates() -> None:
    run = PretrainConfig(out="x", model=CONFIG, steps=7200, precision="fp32")
    sizes = PlanConfig("", nodes=2, devices=2, gflops=10.0, disk_gb_s=0.5, link_gb_s=1e9, image_bytes=1000)
    found = planned(run, sizes)
    assert found["ranks"] == 4
    assert found["step_seconds"] == pytest.approx(found["flops_per_step_and_device"] / 1e10)
    assert found["hours"] == pytest.approx(2 * found["step_seconds"])
    assert found["images_per_s"] == pytest.approx(80 / found["step_seconds"])
    assert found["input_mb_per_s"] == pytest.approx(found["images_per_s"] / 1000)
    assert found["checkpoint_gb"] == pytest.approx(12 * found["parameters"] / 1e9)
    assert found["checkpoint_seconds"] == pytest.approx(2 * found["checkpoint_gb"])
    slow = planned(run, replace(sizes, link_gb_s=1e-6))
    assert slow["step_seconds"] == pytest.approx(slow["network_gb_per_step_and_device"] / 1e-6)


def test_a_dry_run_says_what_the_run_would_do_and_writes_nothing(tmp_path: Path, capfd) -> None:
    data = prepare_streams(tmp_path / "sets", 6)
    config = small_run(data, tmp_path / "run", steps=12)
    found = dry_run(config, gflops=100.0)
    assert found["streams"]["pairs"] | {"fingerprint": ""} == {
        "studies_per_epoch": 6, "different_studies": 6, "studies_per_step": 5, "steps_per_epoch": 2, "epochs": 10.0,
        "fingerprint": "",
    }  # fmt: skip
    assert "Effusion" in found["kinds"]
    assert found["leaks"].startswith("not audited")
    assert found["hours"] > 0
    words = ["pretrain", "--config", str(written(config, tmp_path / "run.yaml")), "--dry-run"]
    assert main(words) == 0
    said = capfd.readouterr().out
    assert "pairs: studies per epoch 6" in said
    assert "parameters:" in said
    assert not (tmp_path / "run").exists()
    config.data.test_sets.append(data["pairs"] + ":train")
    with pytest.raises(XLIPError):
        dry_run(config, gflops=100.0)


def test_plan_reads_a_runs_file_and_refuses_what_is_none(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(yaml.safe_dump({"model": {"image_size": 32, "width": 32, "depth": 1, "heads": 2}, "steps": 5}))
    out = tmp_path / "plan.json"
    found = plan(PlanConfig(str(file), out=str(out), gflops=1.0, disk_gb_s=1.0))
    assert found["steps"] == 5
    assert out.is_file()
    file.write_text("stepz: 5\n")
    with pytest.raises(XLIPError, match="expected the options of xlip pretrain"):
        plan(PlanConfig(str(file)))
    with pytest.raises(XLIPError, match="expected positive numbers"):
        planned(PretrainConfig(out="x"), PlanConfig("", nodes=0))
