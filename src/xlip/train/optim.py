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
    text_rate: float = 1.0
    """Learning rate of the text tower and its head, as a share of `lr`; from scratch, 0.03 to 0.1 (see
    `build_optimizer`)."""
    word_rate: float = 1.0
    """Learning rate of the word embeddings, as a multiple of `lr`; from scratch, 5."""


def build_optimizer(model: nn.Module, config: OptimConfig) -> torch.optim.AdamW:
    """AdamW with three learning rates; matrices get weight decay, everything else none.

    A word's embedding has a gradient only in steps that show the word; the text tower's matrices have one in every
    step, and all prompts share it. At one rate the shared part runs ahead: all kinds' prompts end on one direction,
    normal to abnormal, and stay there for hundreds of steps (`docs/log.md`). Slow matrices and quick words keep kinds
    apart. The paper gives no rates; that hidden matrices need a lower one than embeddings follows Yang et al. 2022
    (arXiv:2203.03466).
    """
    rates = {"image": 1.0, "text": config.text_rate, "words": config.word_rate}
    groups: dict[tuple[str, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            plain = parameter.ndim < 2 or "position" in name or "token" in name.split(".")[-1]
            groups.setdefault((_part(name), not plain), []).append(parameter)
    return torch.optim.AdamW(
        [
            {"params": group, "lr": config.lr * rates[part], "weight_decay": config.weight_decay if decay else 0.0}
            for (part, decay), group in groups.items()
        ],
        betas=(0.9, config.beta2),
        fused=True,
    )


def _part(name: str) -> str:
    if "word_embeddings" in name:
        return "words"
    return "text" if "text_tower." in name or "text_head." in name else "image"


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
