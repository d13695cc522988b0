"""One training step, top to bottom: the file to read first."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from accelerate import Accelerator
from torch import nn

from xlip.batches.batch import Batch
from xlip.models.running_norm import settle
from xlip.train.pretrainer import Losses
from xlip.train.processes import means


@dataclass
class Trainer:
    """What a step needs. `pretrainer`: the model with its objectives, wrapped for however many processes there are."""

    accelerator: Accelerator
    pretrainer: nn.Module
    optimizer: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler
    clip: float


class NotFiniteError(ArithmeticError):
    """A term, their total or the gradient is NaN or infinite; the weights are those before the step."""

    def __init__(self, values: Mapping[str, float]) -> None:
        self.values = dict(values)
        self.terms = [name for name, value in values.items() if not math.isfinite(value)]
        super().__init__(", ".join(self.terms))


def train_step(trainer: Trainer, batch: Batch, progress: float, generator: torch.Generator) -> dict[str, float]:
    """One batch: every image and every text is encoded once, every objective takes its share, one update is made.

    Args:
        trainer: model, objectives, optimiser.
        batch: this process's share of the step's pairs, lone images and lone reports, and the prompts, on the device.
        progress: share of the training done, in [0, 1].
        generator: CPU generator, seeded by (seed, step).

    Returns:
        Each raw term and the total over all processes, and the gradient's norm before clipping.

    Raises:
        NotFiniteError: one of them is NaN or infinite; nothing was updated.
    """
    losses: Losses = trainer.pretrainer(batch, progress, generator)
    trainer.accelerator.backward(losses.total)
    norm = trainer.accelerator.clip_grad_norm_(trainer.pretrainer.parameters(), trainer.clip)
    values = means(trainer.accelerator, {**losses.terms, "total": losses.total, "gradient_norm": norm})
    if not all(map(math.isfinite, values.values())):
        raise NotFiniteError(values)
    trainer.optimizer.step()
    trainer.schedule.step()
    trainer.optimizer.zero_grad(set_to_none=True)
    settle(trainer.pretrainer)
    return values
