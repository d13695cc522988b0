"""What a step costs, found by making it on the device `meta`: operations and kept activations, without a number."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from xlip.objectives.registry import build_objectives
from xlip.speed.made_up import Shape, made_up_batch, made_up_model
from xlip.train.optim import OptimConfig, freeze
from xlip.train.pretrainer import Pretrainer


@dataclass(frozen=True)
class StepCost:
    """Of one process's share of a step."""

    parameters: int
    learning: int
    """Of them, those that learn."""
    flops: float
    """Multiplications and additions, forward and backward."""
    activations: int
    """Bytes that the forward pass keeps for the backward pass."""
    state: int
    """Bytes of weights, gradients and the optimiser's two moments, and of the running mean where there is one."""
    inputs: int
    """Bytes of the batch."""

    @property
    def memory(self) -> int:
        """Bytes at the end of the forward pass."""
        return self.activations + self.state + self.inputs


def step_cost(
    shape: Shape,
    objectives: Mapping[str, Mapping[str, Any]],
    optim: OptimConfig | None = None,
    *,
    half: bool = False,
    parts: int = 1,
    processes: int = 1,
) -> StepCost:
    """Make a step of these sizes on `meta` and count.

    Args:
        shape: of one process's share of a step.
        objectives: name -> options.
        optim: what is frozen, and whether there is a running mean.
        half: whether activations are kept in 16 bits (weights, gradients and moments are fp32).
        parts: of a step, see `train.parts`: activations of one part, and one more forward pass.
        processes: among which weights, gradients and moments are split (FSDP2); 1 = not split.
    """
    optim = optim or OptimConfig()
    model = made_up_model(shape, "meta").train()
    freeze(model, optim)
    task = Pretrainer(model, build_objectives(objectives))
    batch = made_up_batch(shape).to(torch.device("meta"))
    weights = {p.untyped_storage()._cdata for p in model.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in weights:
            kept[storage._cdata] = storage.nbytes()
        return tensor

    counter = FlopCounterMode(display=False)
    with counter:
        with saved_tensors_hooks(keep, lambda tensor: tensor):
            total = task(batch, 1.0, torch.Generator()).total
        forward = counter.get_total_flops()
        total.backward()
    every = sum(p.numel() for p in model.parameters())
    learning = sum(p.numel() for p in model.parameters() if p.requires_grad)
    each = 4 * (every + 3 * learning + (learning if optim.ema else 0))
    return StepCost(
        parameters=every,
        learning=learning,
        flops=float(counter.get_total_flops() + (forward if parts > 1 else 0)),
        activations=int(sum(kept.values()) * (0.5 if half else 1.0) / parts),
        state=each // processes,
        inputs=batch.pixels.numel() * 4,
    )
