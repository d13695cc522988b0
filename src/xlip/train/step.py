"""One training step, top to bottom: the file to read first."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from accelerate import Accelerator
from torch import nn

from xlip.batches.batch import Batch
from xlip.train.pretrainer import Losses


@dataclass
class Trainer:
    """What a step needs. `pretrainer`: the model with its objectives, wrapped for however many processes there are."""

    accelerator: Accelerator
    pretrainer: nn.Module
    optimizer: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler
    clip: float


def train_step(trainer: Trainer, batch: Batch, progress: float, generator: torch.Generator) -> dict[str, float]:
    """One batch: every image and every text is encoded once, every objective takes its share, one update is made.

    Args:
        trainer: model, objectives, optimiser.
        batch: pairs, lone images, lone reports and prompts, on the device.
        progress: share of the training done, in [0, 1].
        generator: CPU generator for masks and dropped images; seeded by (seed, step, rank).

    Returns:
        Each raw term, the total and the gradient's norm before clipping.
    """
    losses: Losses = trainer.pretrainer(batch, progress, generator)
    trainer.accelerator.backward(losses.total)
    norm = trainer.accelerator.clip_grad_norm_(trainer.pretrainer.parameters(), trainer.clip)
    trainer.optimizer.step()
    trainer.schedule.step()
    trainer.optimizer.zero_grad(set_to_none=True)
    named = {**losses.terms, "total": losses.total.detach(), "gradient_norm": norm}
    return {name: float(value) for name, value in named.items()}
