"""AdamW without decay on biases, norms and positions; linear warm-up, then a cosine to zero; what stays frozen."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import nn

from xlip.errors import XLIPError
from xlip.models.towers import ImageTower, TextTower
from xlip.models.xlip import XLIPModel


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
    local_rate: float = 2.5
    """Learning rate of the local head and its stem, as a multiple of `lr`."""
    word_rate: float = 1.0
    """Learning rate of the word embeddings, as a multiple of `lr`; from scratch, 5."""
    layer_decay: float = 1.0
    """Factor of the learning rate for each block of a tower between a weight and the head; below 1 (0.65 to 0.9), what
    a checkpoint knows of edges and words changes less than what it knows of photographs or of the web."""
    freeze_image: int = 0
    """Blocks of the image tower, from the stem on, that stay as they are, and the stem with them; -1 = the tower."""
    freeze_text: int = 0
    """The same number of blocks for the text tower; its word embeddings stay with them."""
    lora_rank: int = 0
    """Rank of adapters in the attention of each tower that starts from a checkpoint (extra `lora`), whose own weights
    then stay as they are; 0 = none."""
    ema: float = 0.0
    """Decay of a running mean of the weights, saved beside the model as OUT/ema (0.999, say); 0 = none."""

    def __post_init__(self) -> None:
        if not 0 < self.layer_decay <= 1:
            raise XLIPError(f"optim.layer_decay: expected a factor above 0, up to 1, got {self.layer_decay}")
        if not 0 <= self.ema < 1:
            raise XLIPError(f"optim.ema: expected a decay from 0 to below 1, got {self.ema}")
        if not 0 <= self.beta2 < 1:
            raise XLIPError(f"optim.beta2: expected at least 0 and below 1, got {self.beta2}")
        for name in ("lr", "text_rate", "local_rate", "word_rate", "weight_decay"):
            if not 0 <= getattr(self, name) < math.inf:
                raise XLIPError(f"optim.{name}: expected at least 0, got {getattr(self, name)}")


def decays(name: str, parameter: nn.Parameter) -> bool:
    """Whether weight decay pulls at a parameter: at matrices, not at biases, norms, positions and class tokens."""
    return parameter.ndim > 1 and "position" not in name and "token" not in name.split(".")[-1]


def build_optimizer(model: nn.Module, config: OptimConfig) -> torch.optim.AdamW:
    """AdamW with four learning rates; matrices get weight decay, everything else none.

    A word's embedding has a gradient only in steps that show the word; the text tower's matrices have one in every
    step, and all prompts share it. At one rate the shared part runs ahead: all kinds' prompts end on one direction,
    normal to abnormal, and stay there for hundreds of steps (`docs/log.md`). Slow matrices and quick words keep kinds
    apart. The paper gives no rates; that hidden matrices need a lower one than embeddings follows Yang et al. 2022
    (arXiv:2203.03466).
    """
    rates = {"image": 1.0, "text": config.text_rate, "words": config.word_rate, "local": config.local_rate}
    far = distances(model) if config.layer_decay < 1 else {}
    groups: dict[tuple[str, bool, int], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            key = (_part(name), decays(name, parameter), far.get(name, 0))
            groups.setdefault(key, []).append(parameter)
    if not groups:
        raise XLIPError("optim: every weight is frozen, nothing is left to train; lower freeze_image or freeze_text")
    return torch.optim.AdamW(
        [
            {
                "params": group,
                "lr": config.lr * rates[part] * config.layer_decay**blocks,
                "weight_decay": config.weight_decay if decay else 0.0,
            }
            for (part, decay, blocks), group in groups.items()
        ],
        betas=(0.9, config.beta2),
        fused=True,
    )


def distances(model: nn.Module) -> dict[str, int]:
    """Blocks of its tower between a weight and the head: 1 for the last block, one more than there are blocks for the
    stem and the embeddings. What is behind the blocks, or in no tower, is left out.
    """
    found: dict[str, int] = {}
    for path, tower in model.named_modules():
        if not isinstance(tower, ImageTower | TextTower):
            continue
        of_block = {id(p): number for number, block in enumerate(tower.blocks) for p in block.parameters()}
        before = True
        for name, parameter in tower.named_parameters():
            number = of_block.get(id(parameter))
            before = before and number is None
            if before or number is not None:
                found[f"{path}.{name}"] = len(tower.blocks) - (-1 if number is None else number)
    return found


def freeze(model: XLIPModel, config: OptimConfig) -> None:
    """Take from training what the config leaves as it is, in place.

    Raises:
        XLIPError: a tower has fewer blocks.
    """
    far = distances(model)
    parts = (("image", model.image_tower, config.freeze_image), ("text", model.text_tower, config.freeze_text))
    for name, tower, count in parts:
        if not -1 <= count <= len(tower.blocks):
            raise XLIPError(
                f"optim.freeze_{name}: {count}, but the tower has {len(tower.blocks)} blocks; take at most these, or "
                "-1 for the whole tower"
            )
        for path, parameter in tower.named_parameters():
            depth = len(tower.blocks) + 1 - far.get(f"{name}_tower.{path}", 0)
            if count == -1 or (count and depth <= count):
                parameter.requires_grad_(False)


def _part(name: str) -> str:
    if "text_tower.polarity" in name:
        return "image"  # new, small and shared by all kinds on purpose: it need not wait for the matrices
    if "word_embeddings" in name:
        return "words"
    if "local." in name:
        return "local"
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
