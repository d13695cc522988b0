"""Which weights learn, and how fast: groups by distance from the head, and the pull towards the start."""

from __future__ import annotations

import re
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from xlip.finetune.recipe import Recipe
from xlip.train.optim import decays

BLOCK = re.compile(r"\.layers?\.(\d+)\.")
"""The number of a block, in the names of every tower family."""


def trainable(model: nn.Module, recipe: Recipe) -> dict[str, nn.Parameter]:
    """The parameters that this recipe trains, by name; the others are frozen, in place."""
    for name, parameter in model.named_parameters():
        parameter.requires_grad = recipe.mode == "full" or name.startswith("head.") or "lora_" in name
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def distance(name: str, blocks: int) -> int:
    """Blocks between a parameter and the head: 0 for heads and the last norm, 1 for the last block, blocks + 1 for
    the embeddings.
    """
    if not name.startswith("image_tower."):
        return 0
    if block := BLOCK.search(name):
        return blocks - int(block.group(1))
    return blocks + 1 if "embeddings" in name else 0


def layerwise_optimizer(parameters: dict[str, nn.Parameter], recipe: Recipe, width: int) -> torch.optim.AdamW:
    """AdamW with one group for each distance from the head, its rate multiplied by `layer_decay` per block (as in
    BEiT, Bao et al. 2021, arXiv:2106.08254). Weight decay is left to `Anchor`.
    """
    found = [int(block.group(1)) for name in parameters if (block := BLOCK.search(name))]
    blocks = max(found, default=-1) + 1
    decay = 1.0 if recipe.init == "scratch" else recipe.layer_decay
    groups: dict[int, list[nn.Parameter]] = {}
    for name, parameter in parameters.items():
        groups.setdefault(distance(name, blocks), []).append(parameter)
    rates = [{"params": groups[far], "lr": recipe.rate(width) * decay**far} for far in sorted(groups)]
    return torch.optim.AdamW(rates, betas=(0.9, 0.98), weight_decay=0.0, fused=True)


class Anchor:
    """Decoupled weight decay towards the start (L2-SP, Li et al. 2018, arXiv:1802.01483, in AdamW's decoupled form).

    From a pre-trained model the start is its weights, so few labels cannot pull it far; from scratch it is 0, which is
    AdamW's own decay. What `decays` leaves out is free.
    """

    def __init__(self, parameters: dict[str, nn.Parameter], recipe: Recipe) -> None:
        self.decay = recipe.weight_decay
        at_zero = recipe.init == "scratch"
        self.pairs: list[tuple[nn.Parameter, Tensor]] = [
            (p, torch.zeros_like(p) if at_zero or "lora_" in name else p.detach().clone())
            for name, p in parameters.items()
            if decays(name, p)
        ]

    @torch.no_grad()
    def pull(self, optimizer: torch.optim.Optimizer) -> None:
        """After a step: p <- p - lr * decay * (p - start), with the rate of p's group."""
        rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
        for parameter, start in self.pairs:
            parameter.lerp_(start, rates[id(parameter)] * self.decay)


def between(start: dict[str, Tensor], end: dict[str, Tensor], share: float) -> dict[str, Tensor]:
    """Weights at a share of the way from start to end (WiSE-FT, Wortsman et al. 2022, arXiv:2109.01903)."""
    return {name: torch.lerp(start[name], end[name], share) for name in end}


def copied(model: nn.Module, names: Iterable[str] | None = None) -> dict[str, Tensor]:
    """A copy of the weights, on their device."""
    chosen = set(names) if names is not None else None
    return {
        name: tensor.detach().clone() for name, tensor in model.state_dict().items() if chosen is None or name in chosen
    }
