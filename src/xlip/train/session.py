"""A run from its first step, or the one it goes on with, to its last."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from xlip.batches.batch import Batch
from xlip.batches.draws import seed_of
from xlip.batches.streams import BatchSampler
from xlip.errors import Stopped, XLIPError
from xlip.models.machine import attention_kernel
from xlip.models.xlip import XLIPModel
from xlip.train.checkpoint import save_checkpoint
from xlip.train.config import PretrainConfig
from xlip.train.faults import Spikes, studies_of, write_batch, write_notes
from xlip.train.flops import training_flops
from xlip.train.loader import batches
from xlip.train.log import CONFIG_NAME, RunLog
from xlip.train.processes import of_all, on_any, while_together
from xlip.train.resume import as_written
from xlip.train.step import NotFiniteError, Trainer, train_step
from xlip.train.stopping import StopRequest
from xlip.train.term_gradients import term_gradients

Evaluate = Callable[[XLIPModel], dict[str, float]]
"""From the model, as it is at a step, to named figures."""
FIGURE = "eval/macro_auroc"
"""The figure by which a checkpoint is the best."""


@dataclass
class Session:
    """Everything that the steps of a run need."""

    config: PretrainConfig
    trainer: Trainer
    model: XLIPModel
    sampler: BatchSampler
    log: RunLog
    stop: StopRequest
    facts: Mapping[str, Any]
    evaluate: Evaluate | None
    saved: int = -1
    """Steps after which the last checkpoint was written."""
    spikes: Spikes = field(default_factory=Spikes)

    def run(self) -> None:
        """Make the steps.

        Raises:
            XLIPError: a fault in the data, a loss that is not finite, another process that is gone.
            Stopped: a signal asked for it; a checkpoint was written.
        """
        config, accelerator = self.config, self.trainer.accelerator
        # Each process makes its share of the step, as fast as this machine lets it.
        flops = training_flops(self.model, config.data.mix, self.sampler.processor.max_tokens, len(self.sampler.kinds))
        peak = 1e9 * self.facts["matmul_gflops"]["bf16" if self.facts["precision"] == "bf16" else "fp32"]
        meter = Meter(flops / accelerator.num_processes, peak)
        start, steps = self.log.start, config.steps
        loader = batches(self.sampler, start, steps, workers=config.workers, timeout=config.worker_timeout)
        with while_together(accelerator, self.go_on()), attention_kernel(self.facts["attention"]), loader as made:
            self._leave_if_asked(start)
            for step, batch in enumerate(made, start):
                figures = self._step(step, batch, meter)
                done = step + 1
                due = bool(config.checkpoint_every) and (done % config.checkpoint_every == 0 or done == steps)
                if due or (config.checkpoint_every and self._is_best(figures)):
                    self.save(done, figures.get(FIGURE))
                if done < steps:
                    self._leave_if_asked(done)

    def go_on(self) -> str:
        """The command that goes on with this run."""
        ranks = self.trainer.accelerator.num_processes
        program = "xlip" if ranks == 1 else f"torchrun --nproc_per_node {ranks} -m xlip.cli"
        out = shlex.quote(self.config.out)
        return f"go on with: {program} pretrain --config {out}/{CONFIG_NAME} --out {out} --resume auto"

    def save(self, done: int, figure: float | None = None) -> None:
        """Write a checkpoint, on the main process."""
        if self.saved != done and self.trainer.accelerator.is_main_process:
            save_checkpoint(
                self.log.folder,
                self.model,
                self.trainer.optimizer,
                done,
                config=as_written(self.config),
                facts=self.facts,
                rows=self.log.curve,
                figure=figure,
                keep=self.config.keep,
            )
        self.saved = done

    def _step(self, step: int, batch: Batch, meter: Meter) -> dict[str, float]:
        config, trainer, rank = self.config, self.trainer, self.sampler.rank
        main = trainer.accelerator.is_main_process
        generator = torch.Generator().manual_seed(seed_of(config.seed, step))
        torch.manual_seed(seed_of(config.seed, step, rank))  # dropout draws from the global generator
        batch, progress = batch.to(trainer.accelerator.device), step / max(config.steps - 1, 1)
        measured: dict[str, float] = {}
        if config.gradient_norms_every and step % config.gradient_norms_every == 0:
            measured = term_gradients(trainer, batch, progress, generator)
        try:
            values = {**train_step(trainer, batch, progress, generator), **measured}
        except NotFiniteError as error:
            raise self._kept(step, batch, progress, error) from error
        rates = meter.tick(self.images_per_step())
        due = self.evaluate and config.evaluate.every and (step + 1) % config.evaluate.every == 0
        wanted = self.evaluate if main and (due or step == config.steps - 1) else None
        figures = wanted(self.model) if wanted else {}
        values = {**values, "lr": float(trainer.schedule.get_last_lr()[0]), **rates, **figures}
        expected = self.spikes.expected(values["total"])
        if expected is not None:
            self.log.spike(step, values["total"], expected, of_all(trainer.accelerator, studies_of(batch)))
        self.log.step(step, values, every=1 if figures else config.log_every)
        return figures

    def images_per_step(self) -> int:
        """Of all processes together."""
        return sum(self.config.data.mix.get(name, 0) for name in ("pairs", "images"))

    def _is_best(self, figures: Mapping[str, float]) -> bool:
        if FIGURE not in figures:
            return False
        return all(figures[FIGURE] > row[FIGURE] for row in self.log.curve[:-1] if FIGURE in row)

    def _leave_if_asked(self, done: int) -> None:
        accelerator = self.trainer.accelerator
        number = on_any(accelerator, self.stop.signal)
        if not number:
            return
        self.save(done)
        on_any(accelerator, 0)  # no process leaves before the checkpoint is whole
        raise Stopped(f"stopped by signal {number} after {done} of {self.config.steps} steps; {self.go_on()}", number)

    def _kept(self, step: int, batch: Batch, progress: float, error: NotFiniteError) -> XLIPError:
        """Write what `xlip replay` needs; what to raise."""
        accelerator = self.trainer.accelerator
        folder = Path(self.config.out) / "faults" / f"step-{step:08d}"
        write_batch(folder, batch, self.sampler.rank)
        studies = of_all(accelerator, studies_of(batch))
        if accelerator.is_main_process:
            notes = {
                "step": step,
                "progress": progress,
                "values": error.values,
                "objectives": dict(self.config.objectives),
                "ranks": accelerator.num_processes,
                "studies": studies,
            }
            write_notes(folder, self.model, notes)
        shown = ", ".join(studies[:5]) + (f" and {len(studies) - 5} more" if len(studies) > 5 else "")
        return XLIPError(
            f"step {step}: {error.terms[0]} is {error.values[error.terms[0]]} (studies {shown}); look at it by xlip "
            f"replay {shlex.quote(str(folder))}, or lower optim.lr and {self.go_on()}"
        )


class Meter:
    """Images/s over the last steps, and the share of the machine's measured matrix rate that training uses."""

    def __init__(self, flops_per_step: float, peak: float) -> None:
        self.flops, self.peak, self.times = flops_per_step, peak, [time.perf_counter()]

    def tick(self, images: int) -> dict[str, float]:
        """Call once after every step."""
        self.times = [*self.times[-20:], time.perf_counter()]
        seconds = (self.times[-1] - self.times[0]) / (len(self.times) - 1)
        return {"images_per_s": images / seconds, "share_of_matmul_rate": self.flops / seconds / self.peak}
