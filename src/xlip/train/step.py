"""One training step, top to bottom: the file to read first."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from xlip.batches.batch import Batch
from xlip.models.running_norm import settle
from xlip.train.average import Average
from xlip.train.parts import PartsPass
from xlip.train.pretrainer import Losses
from xlip.train.processes import average_gradients, means


@dataclass
class Trainer:
    """What a step needs. `pretrainer`: the model with its objectives, wrapped for however many processes there are."""

    accelerator: Accelerator
    pretrainer: nn.Module
    optimizer: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler
    clip: float
    average: Average | None = None
    """The running mean of the weights."""
    parts: int = 1
    """In how many parts a process makes its share of a step."""
    sharded: bool = False
    """Whether the weights are split over the processes."""
    failed: Tensor | None = None
    """1 on the device once a value was not finite: from then on no step changes a weight."""


class NotFiniteError(ArithmeticError):
    """A term, their total or the gradient is NaN or infinite; the weights are those before the step."""

    def __init__(self, values: Mapping[str, float]) -> None:
        self.values = dict(values)
        self.terms = [name for name, value in values.items() if not math.isfinite(value)]
        super().__init__(", ".join(self.terms))


def train_step(trainer: Trainer, batch: Batch, progress: float, generator: torch.Generator) -> dict[str, Tensor]:
    """One batch: every image and every text is encoded once, every objective takes its share, one update is made.

    Nothing is read from the device: where a value is not finite, the update is left out there, and so is every later
    one until `read` has said so.

    Args:
        trainer: model, objectives, optimiser.
        batch: this process's share of the step's pairs, lone images and lone reports, and the prompts, on the device.
        progress: share of the training done, in [0, 1].
        generator: CPU generator, seeded by (seed, step).

    Returns:
        Each raw term and the total over all processes, and the gradient's norm before clipping, on the device.
    """
    losses = _gradients(trainer, batch, progress, generator)
    norm = trainer.accelerator.clip_grad_norm_(trainer.pretrainer.parameters(), trainer.clip)
    values = means(trainer.accelerator, {**losses.terms, "total": losses.total, "gradient_norm": norm})
    _update(trainer, values)
    trainer.schedule.step()
    trainer.optimizer.zero_grad(set_to_none=True)
    settle(trainer.pretrainer)
    return values


def read(values: Sequence[Mapping[str, Tensor | float]]) -> list[dict[str, float]]:
    """The values of some steps as numbers: the one place where the device is waited for."""
    tensors = [value for one in values for value in one.values() if isinstance(value, Tensor)]
    numbers = iter(torch.stack([value.detach().float() for value in tensors]).tolist() if tensors else [])
    return [
        {name: next(numbers) if isinstance(value, Tensor) else value for name, value in one.items()} for one in values
    ]


def refuse_not_finite(values: Mapping[str, float], *, scaled: bool = False) -> None:
    """Raise where a step's values say that it was left out.

    Args:
        values: of one step.
        scaled: whether a gradient may overflow, as it does in fp16 until its scale is found.

    Raises:
        NotFiniteError: one of them is NaN or infinite.
    """
    if not all(math.isfinite(value) for name, value in values.items() if not (scaled and name == "gradient_norm")):
        raise NotFiniteError(values)


def _gradients(trainer: Trainer, batch: Batch, progress: float, generator: torch.Generator) -> Losses:
    accelerator = trainer.accelerator
    if trainer.parts == 1:
        with accelerator.autocast():  # of weights that are split, for accelerate wraps the others
            losses: Losses = trainer.pretrainer(batch, progress, generator)
        accelerator.backward(losses.total)
        return losses
    task = accelerator.unwrap_model(trainer.pretrainer)
    scale = accelerator.scaler.scale if accelerator.scaler is not None else lambda loss: loss
    with accelerator.autocast():
        losses = PartsPass(task, batch, progress, generator, trainer.parts, scale).backward()
    average_gradients(accelerator, task)
    return losses


def _update(trainer: Trainer, values: Mapping[str, Tensor]) -> None:
    scaled = trainer.accelerator.scaler is not None
    judged = [value for name, value in values.items() if not (scaled and name == "gradient_norm")]
    bad = (~torch.stack(judged).isfinite().all()).float()
    trainer.failed = bad if trainer.failed is None else torch.maximum(trainer.failed, bad)
    if trainer.sharded and trainer.failed.tolist():
        return  # split weights have no such place to look at, so the device is asked
    if not scaled and not trainer.sharded:  # fused AdamW looks there, and changes nothing where it says 1
        inner: Any = getattr(trainer.optimizer, "optimizer", trainer.optimizer)
        inner.found_inf = trainer.failed
    trainer.optimizer.step()
    if trainer.average is not None:
        trainer.average.update()
