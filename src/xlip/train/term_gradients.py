"""How strongly each term of the loss pulls, and whether it pulls where the contrastive one does."""

from __future__ import annotations

import torch
from torch import Tensor

from xlip.batches.batch import Batch
from xlip.objectives.contrastive import Contrastive
from xlip.train.pretrainer import Pretrainer
from xlip.train.step import Trainer


def term_gradients(trainer: Trainer, batch: Batch, progress: float, generator: torch.Generator) -> dict[str, float]:
    """`gradient_norm/TERM`, of each term alone times its weight, and `gradient_cosine/TERM`, its cosine with the
    contrastive term's gradient over all weights that both reach; one more forward and backward pass each.

    No cosine where there is no contrastive term, or where either gradient is zero.
    """
    task = trainer.accelerator.unwrap_model(trainer.pretrainer)
    parameters = [p for p in task.parameters() if p.requires_grad]
    found: dict[str, list[Tensor | None]] = {}
    for objective in task.objectives:
        alone = Pretrainer(task.model, [objective])
        with trainer.accelerator.autocast():
            total = alone(batch, progress, torch.Generator().manual_seed(generator.initial_seed())).total
        found[objective.name] = list(torch.autograd.grad(total, parameters, allow_unused=True))
    figures = {f"gradient_norm/{name}": product(own, own) ** 0.5 for name, own in found.items()}
    if (reference := found.get(Contrastive.name)) is not None:
        for name, own in found.items():
            shared = [(a, b) for a, b in zip(own, reference, strict=True) if a is not None and b is not None]
            norms = [sum(float(pair[i].float().pow(2).sum()) for pair in shared) ** 0.5 for i in (0, 1)]
            if name != Contrastive.name and min(norms) > 0:
                figures[f"gradient_cosine/{name}"] = product(own, reference) / (norms[0] * norms[1])
    return figures


def product(first: list[Tensor | None], second: list[Tensor | None]) -> float:
    """The inner product of two gradients; a weight that one of them does not reach counts 0."""
    pairs = ((a, b) for a, b in zip(first, second, strict=True) if a is not None and b is not None)
    return sum(float((a.float() * b.float()).sum()) for a, b in pairs)
