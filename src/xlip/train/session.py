"""A run from its first step, or the one it goes on with, to its last."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Iterator, Mapping
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
from xlip.objectives.registry import OBJECTIVES
from xlip.train.checkpoint import save_checkpoint
from xlip.train.config import PretrainConfig
from xlip.train.faults import Spikes, studies_of, write_batch, write_notes
from xlip.train.flops import training_flops
from xlip.train.idle import Idle
from xlip.train.loader import batches
from xlip.train.log import CONFIG_NAME, RunLog
from xlip.train.processes import of_all, on_any, while_together
from xlip.train.resume import as_written
from xlip.train.sharding import whole_weights
from xlip.train.step import NotFiniteError, Trainer, read, refuse_not_finite, train_step
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
    pending: list[tuple[int, Mapping[str, Any]]] = field(default_factory=list)
    """Steps made whose values are still on the device."""
    idle: Idle = field(init=False)

    def __post_init__(self) -> None:
        self.idle = Idle({name: OBJECTIVES[name].needs for name in self.config.objectives})

    def run(self) -> None:
        """Make the steps.

        Raises:
            XLIPError: a fault in the data, a loss that is not finite, another process that is gone.
            Stopped: a signal asked for it; a checkpoint was written.
        """
        config, accelerator = self.config, self.trainer.accelerator
        # Each process makes its share of the step, as fast as this machine lets it.
        flops = training_flops(self.model, config.data.mix, self.sampler.processor.max_tokens, len(self.sampler.kinds))
        peak = 1e9 * self.facts["matmul_gflops"]["fp32" if self.facts["precision"] == "no" else "bf16"]
        meter = Meter(flops / accelerator.num_processes, peak)
        start, steps = self.log.start, config.steps
        loader = batches(self.sampler, start, steps, workers=config.workers, timeout=config.worker_timeout)
        with while_together(accelerator, self.go_on()), attention_kernel(self.facts["attention"]), loader as made:
            self._leave_if_asked(start)
            for step, batch in enumerate(meter.waiting(made), start):
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
        """Write a checkpoint, on the main process; all of them have to call."""
        self._read()  # a checkpoint has the log of its steps, and none follows a step that failed
        if self.saved != done and (self.trainer.sharded or self.trainer.accelerator.is_main_process):
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
                average=self.trainer.average,
                scaler=self.trainer.accelerator.scaler,
                main=self.trainer.accelerator.is_main_process,
            )
        self.saved = done

    def _step(self, step: int, batch: Batch, meter: Meter) -> dict[str, float]:
        config, trainer, rank = self.config, self.trainer, self.sampler.rank
        main = trainer.accelerator.is_main_process
        generator = torch.Generator().manual_seed(seed_of(config.seed, step))
        torch.manual_seed(seed_of(config.seed, step, rank))  # dropout draws from the global generator
        batch, progress = self._prepared(batch), self._progress(step)
        measured: dict[str, float] = {}
        if config.gradient_norms_every and step % config.gradient_norms_every == 0:
            measured = term_gradients(trainer, batch, progress, generator)
        values = {**train_step(trainer, batch, progress, generator), **measured}
        rates = {"lr": float(trainer.schedule.get_last_lr()[0]), **meter.tick(self.images_per_step())}
        self.pending.append((step, {**values, **rates}))
        due = self.evaluate and config.evaluate.every and (step + 1) % config.evaluate.every == 0
        last = step == config.steps - 1
        wanted = self.evaluate if due or last else None
        figures: dict[str, float] = {}
        if wanted:
            self._read(but_last=True)
            self._refuse(*self.pending[0])
            figures = self._evaluated(wanted) if main else {}
        if wanted or last or step % config.log_every == 0:
            self._read(figures)
        return figures

    def _prepared(self, batch: Batch) -> Batch:
        """The batch on the device, its images augmented."""
        return batch.to(self.trainer.accelerator.device).ready(self.config.augment)

    def _progress(self, step: int) -> float:
        return step / max(self.config.steps - 1, 1)

    def _evaluated(self, evaluate: Evaluate) -> dict[str, float]:
        """Figures of the weights, or of their running mean."""
        average = self.trainer.average
        if average is None or not self.config.evaluate.ema:
            return evaluate(self.model)
        with average.in_place():
            return evaluate(self.model)

    def _read(self, figures: Mapping[str, float] | None = None, *, but_last: bool = False) -> None:
        """Log the steps whose values are still on the device; `figures` are of the last one."""
        cut = len(self.pending) - 1 if but_last else len(self.pending)
        todo, self.pending = self.pending[:cut], self.pending[cut:]
        rows = read([values for _, values in todo])
        for (step, _), values in zip(todo, rows, strict=True):
            self._refuse(step, values)
            expected = self.spikes.expected(values["total"])
            if expected is not None:
                studies = of_all(self.trainer.accelerator, studies_of(self.sampler(step)))
                self.log.spike(step, values["total"], expected, studies)
            for line in self.idle.lines(values, last=step == self.config.steps - 1):
                self.log.say(line)
            own = figures if figures and step == todo[-1][0] else {}
            self.log.step(step, {**values, **own}, every=1 if own else self.config.log_every)

    def _refuse(self, step: int, values: Mapping[str, Any]) -> None:
        """Stop where a step's values are not finite; its batch is made again, to be kept."""
        numbers = read([values])[0]
        try:
            refuse_not_finite(numbers, scaled=self.trainer.accelerator.scaler is not None)
        except NotFiniteError as error:
            raise self._kept(step, self._prepared(self.sampler(step)), self._progress(step), error) from error

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
        studies, weights = of_all(accelerator, studies_of(batch)), whole_weights(self.model)
        if accelerator.is_main_process:
            notes = {
                "step": step,
                "progress": progress,
                "generator": seed_of(self.config.seed, step),
                "values": error.values,
                "objectives": dict(self.config.objectives),
                "ranks": accelerator.num_processes,
                "studies": studies,
            }
            write_notes(folder, self.model, notes, weights)
        shown = ", ".join(studies[:5]) + (f" and {len(studies) - 5} more" if len(studies) > 5 else "")
        return XLIPError(
            f"step {step}: {error.terms[0]} is {error.values[error.terms[0]]} (studies {shown}); look at it by xlip "
            f"replay {shlex.quote(str(folder))}, or lower optim.lr and {self.go_on()}"
        )


class Meter:
    """Over the last steps: images/s, the share of the machine's measured matrix rate that training uses, and the share
    of the time in which it waited for data.
    """

    def __init__(self, flops_per_step: float, peak: float) -> None:
        self.flops, self.peak, self.times = flops_per_step, peak, [time.perf_counter()]
        self.waited = [0.0]
        """Seconds of waiting up to each of `times`."""

    def waiting(self, made: Iterator[Batch]) -> Iterator[Batch]:
        """The same batches; how long each was waited for is counted."""
        total = 0.0
        while True:
            start = time.perf_counter()
            batch = next(made, None)
            if batch is None:
                return
            total += time.perf_counter() - start
            self.now = total
            yield batch

    now = 0.0

    def tick(self, images: int) -> dict[str, float]:
        """Call once after every step."""
        self.times = [*self.times[-20:], time.perf_counter()]
        self.waited = [*self.waited[-20:], self.now]
        seconds = (self.times[-1] - self.times[0]) / (len(self.times) - 1)
        return {
            "images_per_s": images / seconds,
            "share_of_matmul_rate": self.flops / seconds / self.peak,
            "data_wait_share": (self.waited[-1] - self.waited[0]) / (self.times[-1] - self.times[0]),
        }
