"""`xlip plan`: what a run will take on N nodes, by formulas that `docs/howto/plan.md` writes down, tested."""

from __future__ import annotations

import math
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from xlip.errors import XLIPError
from xlip.files import check_target, write_json
from xlip.models.machine import mixed_precision
from xlip.objectives.registry import build_objectives
from xlip.options import read_options
from xlip.speed.estimate import StepCost, step_cost
from xlip.speed.made_up import Shape, made_up_batch, made_up_model
from xlip.train.config import PretrainConfig
from xlip.train.optim import build_optimizer
from xlip.train.options import config_of
from xlip.train.pretrainer import Pretrainer

PROBE_MB = 64
"""Written to find the rate of a checkpoint's storage."""


@dataclass(frozen=True)
class PlanConfig:
    """`xlip plan`."""

    run: str
    """YAML file of a training, as `xlip pretrain --config` reads it; its sets need not be there."""
    out: str = ""
    """JSON file to write."""
    nodes: int = 1
    """Machines."""
    devices: int = 1
    """Processes on each machine that train together."""
    gflops: float = 0.0
    """Rate of a training step on one device, 10^9 operations a second; 0 = measured here on a small step."""
    link_gb_s: float = 10.0
    """Speed between devices, in 10^9 bytes a second and direction."""
    disk_gb_s: float = 0.0
    """Speed at which a checkpoint is written, in 10^9 bytes a second; 0 = measured here."""
    report_tokens: int = 0
    """Tokens of the longest report of a step; 0 = `model.max_tokens`."""
    kinds: int = 20
    """Kinds that have prompts."""
    image_bytes: int = 0
    """Bytes of an image in the prepared set; 0 = half a byte for each pixel, what PNG needs for radiographs."""


def plan(config: PlanConfig) -> dict[str, Any]:
    """The figures of a run that a file describes, and the JSON file where one is asked for.

    Raises:
        XLIPError: a fault in the file, or as `planned`; a file that cannot be written.
    """
    if config.out:
        check_target(Path(config.out), folder=False)
    found = planned(read_run(config.run), config)
    if config.out:
        Path(config.out).parent.mkdir(parents=True, exist_ok=True)
        write_json(Path(config.out), {"plan": asdict(config), **found})
    return found


def read_run(file: str) -> PretrainConfig:
    """The config of a training in a YAML file.

    Raises:
        XLIPError: no such file, no YAML, or an option that a training does not have.
    """
    given = read_options(file)
    try:
        return config_of({"out": "planned", **given})
    except XLIPError as error:
        raise XLIPError(f"{file}: expected the options of xlip pretrain ({error})") from error


def planned(run: PretrainConfig, config: PlanConfig) -> dict[str, Any]:
    """The figures of a run.

    Raises:
        XLIPError: a mix of nothing, or numbers below 1.
    """
    if min(config.nodes, config.devices, run.parts, config.kinds) < 1 or config.link_gb_s <= 0:
        raise XLIPError(
            "plan: nodes, devices, parts, kinds and link_gb_s: expected positive numbers; take the defaults"
        )
    build_objectives(run.objectives)
    ranks, shape = config.nodes * config.devices, share_of(run, config)
    half = mixed_precision(run.precision) != "no"
    split = ranks if run.shard else 1
    cost = step_cost(shape, run.objectives, run.optim, half=half, parts=run.parts, processes=split)
    rate = config.gflops or measured_rate(shape, run)
    return {
        "ranks": ranks,
        "precision": "16 bits" if half else "fp32",
        **figures(run, config, shape, cost, rate),
    }


def figures(run: PretrainConfig, config: PlanConfig, shape: Shape, cost: StepCost, rate: float) -> dict[str, Any]:
    """Everything that follows from a step's cost and a rate; see `docs/howto/plan.md` for the formulas."""
    mix, ranks = run.data.mix, config.nodes * config.devices
    images = mix.get("pairs", 0) + mix.get("images", 0)
    compute = cost.flops / (rate * 1e9)
    volume = network_bytes(cost, shape, ranks, shard=run.shard)
    exchange = volume / (config.link_gb_s * 1e9)
    # Gradients travel while others are still computed: the longer of both counts.
    step = max(compute, exchange)
    checkpoint = 12 * cost.learning + 4 * (cost.parameters - cost.learning)
    disk = config.disk_gb_s or disk_rate()
    each = config.image_bytes or run.model.image_size**2 // 2
    return {
        "parameters": cost.parameters,
        "parameters_that_learn": cost.learning,
        "flops_per_step_and_device": cost.flops,
        "flops_per_image": cost.flops * ranks / max(images, 1),
        "memory_per_device_gb": cost.memory / 1e9,
        "of_it_activations_gb": cost.activations / 1e9,
        "rate_gflops": rate,
        "network_gb_per_step_and_device": volume / 1e9,
        "step_seconds": step,
        "images_per_s": images / step,
        "input_mb_per_s": images / step * each / 1e6,
        "checkpoint_gb": checkpoint / 1e9,
        "checkpoint_seconds": checkpoint / (disk * 1e9),
        "steps": run.steps,
        "hours": run.steps * step / 3600,
    }


def network_bytes(cost: StepCost, shape: Shape, ranks: int, *, shard: bool) -> float:
    """Bytes that a device sends in a step: gradients by a ring, and the embeddings that all compare."""
    if ranks == 1:
        return 0.0
    share = (ranks - 1) / ranks
    gradients = (3 if shard else 2) * share * 4 * cost.learning
    rows = shape.images + shape.pairs + shape.lone_texts
    # Gathered once, and their gradient summed over all.
    return gradients + 3 * share * 4 * rows * ranks * shape.model.embed_dim


def share_of(run: PretrainConfig, config: PlanConfig) -> Shape:
    """One process's share of a step, the largest of them.

    Raises:
        XLIPError: a mix of nothing.
    """
    ranks, mix = config.nodes * config.devices, run.data.mix
    pairs, images, texts = (math.ceil(mix.get(name, 0) / ranks) for name in ("pairs", "images", "texts"))
    if not pairs + images + texts:
        raise XLIPError("data.mix: every stream is 0; nothing to plan")
    longest = config.report_tokens or run.model.max_tokens
    return Shape(
        run.model,
        pairs=pairs,
        lone_images=images,
        lone_texts=texts,
        tokens=longest,
        shortest=max(4, longest // 4),
        kinds=config.kinds,
        vocabulary=run.model.vocab_size,
    )


def measured_rate(shape: Shape, run: PretrainConfig, rows: int = 4) -> float:
    """10^9 operations a second of this machine in a small step of the same model: two are made, the second counts."""
    small = Shape(
        shape.model,
        pairs=min(rows, shape.pairs),
        lone_images=min(rows, shape.lone_images),
        lone_texts=min(rows, shape.lone_texts),
        tokens=shape.tokens,
        shortest=shape.shortest,
        kinds=shape.kinds,
        vocabulary=shape.vocabulary,
    )
    device = torch.accelerator.current_accelerator() or torch.device("cpu")
    half = mixed_precision(run.precision, device) != "no"
    task = Pretrainer(made_up_model(small).to(device).train(), build_objectives(run.objectives))  # type: ignore[arg-type]
    batch, optimizer = made_up_batch(small).to(device), build_optimizer(task, run.optim)
    seconds = 0.0
    for _ in range(2):
        start = time.perf_counter()
        with torch.autocast(device.type, torch.bfloat16, enabled=half):
            total = task(batch, 1.0, torch.Generator()).total
        total.backward()
        optimizer.step()
        optimizer.zero_grad()
        if device.type == "cuda":
            torch.cuda.synchronize()
        seconds = time.perf_counter() - start
    return step_cost(small, run.objectives, run.optim).flops / seconds / 1e9


def disk_rate() -> float:
    """10^9 bytes a second at which this machine writes to its temporary folder."""
    with tempfile.NamedTemporaryFile() as file:
        start = time.perf_counter()
        file.write(bytes(PROBE_MB << 20))
        file.flush()
        return (PROBE_MB << 20) / max(time.perf_counter() - start, 1e-6) / 1e9
