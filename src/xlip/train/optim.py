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
    """Learning rate after the warm-up; it falls to 0 along a cosine."""
    weight_decay: float = 0.05
    """Decoupled weight decay (AdamW)."""
    beta2: float = 0.98
    """Decay of the running mean of squared gradients."""
    warmup_steps: int = 50
    """Steps with a rising learning rate."""
    clip: float = 1.0
    """Largest gradient norm."""
    text_rate: float = 1.0
    """Learning rate of the text tower and its head, as a share of `lr`; from scratch, 0.03 to 0.1 (see
    `build_optimizer`)."""
    word_rate: float = 1.0
    """Learning rate of the word embeddings, as a multiple of `lr`; from scratch, 5."""


def decays(name: str, parameter: nn.Parameter) -> bool:
    """Whether weight decay pulls at a parameter: at matrices, not at biases, norms, positions and class tokens."""
    return parameter.ndim > 1 and "position" not in name and "token" not in name.split(".")[-1]


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
            groups.setdefault((_part(name), decays(name, parameter)), []).append(parameter)
    return torch.optim.AdamW(
        [
            {"params": group, "lr": config.lr * rates[part], "weight_decay": config.weight_decay if decay else 0.0}
            for (part, decay), group in groups.items()
        ],
        betas=(0.9, config.beta2),
        fused=True,
    )


def _part(name: str) -> str:
    if "text_tower.polarity" in name:
        return "image"  # new, small and shared by all kinds on purpose: it need not wait for the matrices
    if "word_embeddings" in name:
        return "words"
    return "text" if "text_tower." in name or "text_head." in name else "image"


def build_schedule(
    optimizer: torch.optim.Optimizer, warmup_steps: int, steps: int, start: int = 0
) -> torch.optim.lr_scheduler.LambdaLR:
    """Learning rate of each step, the next one being number `start`: a linear rise, then a cosine to zero."""

    def factor(since: int) -> float:
        step = since + start
        if step < warmup_steps:
            return (step + 1) / warmup_steps
        return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warmup_steps) / max(steps - warmup_steps, 1))))

    return torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
