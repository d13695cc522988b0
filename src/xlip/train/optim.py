"""AdamW without decay on biases, norms and positions; linear warm-up, then a cosine to zero."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import nn


@dataclass(frozen=True)
class OptimConfig:
    """Optimiser and schedule."""

    lr: float = 5e-4
    weight_decay: float = 0.05
    beta2: float = 0.98
    warmup: int = 50
    """Steps of linear warm-up."""
    clip: float = 1.0
    """Largest gradient norm."""


def build_optimizer(model: nn.Module, config: OptimConfig) -> torch.optim.AdamW:
    """Two groups: matrices with weight decay, everything else without."""
    parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
    plain = [p for name, p in parameters.items() if p.ndim < 2 or "position" in name or "token" in name.split(".")[-1]]
    chosen = {id(p) for p in plain}
    groups = [
        {"params": [p for p in parameters.values() if id(p) not in chosen], "weight_decay": config.weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.lr, betas=(0.9, config.beta2))


def build_schedule(
    optimizer: torch.optim.Optimizer, warmup: int, steps: int, start: int = 0
) -> torch.optim.lr_scheduler.LambdaLR:
    """Learning rate of each step, the next one being number `start`."""

    def factor(since: int) -> float:
        step = since + start
        if step < warmup:
            return (step + 1) / warmup
        return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warmup) / max(steps - warmup, 1))))

    return torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
