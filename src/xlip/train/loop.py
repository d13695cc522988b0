"""`xlip pretrain`: streams in, a run folder out."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedDataParallelKwargs
from torch.utils.data import DataLoader, Dataset

from xlip.batches.augmentation import Augment
from xlip.batches.batch import Batch
from xlip.batches.streams import BatchSampler, Streams
from xlip.errors import XLIPError
from xlip.files import whole_folder
from xlip.models.xlip import XLIPModel
from xlip.objectives.attributes import ImageAttributes
from xlip.objectives.registry import OBJECTIVE_DEFAULTS, build_objectives
from xlip.study.prompts import load_prompts
from xlip.train.build import (
    ModelConfig,
    build_model,
    build_processor,
    build_tables,
    refuse_without_headers,
    training_kinds,
)
from xlip.train.checkpoint import load_checkpoint, save_checkpoint
from xlip.train.log import RunLog
from xlip.train.optim import OptimConfig, build_optimizer, build_schedule
from xlip.train.precision import attention_kernel, matmul_rate, mixed_precision, training_flops
from xlip.train.pretrainer import Pretrainer
from xlip.train.step import Trainer, train_step

Evaluate = Callable[[XLIPModel], dict[str, float]]
"""From the model, as it is at a step, to named figures."""


@dataclass(frozen=True)
class DuringTraining:
    """Zero-shot evaluation while a model trains; its figures stand in the logs as `eval/...`."""

    every: int = 0
    """Steps between evaluations; the last step is evaluated too. 0 = never."""
    data: str = ""
    """Prepared Parquet (folder or file), or a CSV file."""
    split: str = ""
    """Parquet: default `val`. A test split here is no longer one for the runs that are chosen by it."""
    kinds: str = ""
    """Kinds to score, separated by commas; default: all that the data label."""


@dataclass(frozen=True)
class PretrainConfig:
    """`xlip pretrain`."""

    out: str
    """Folder of the run: model, logs, resolved config, checkpoint."""
    data: Streams = field(default_factory=Streams)
    model: ModelConfig = field(default_factory=ModelConfig)
    objectives: dict[str, dict[str, Any]] = field(default_factory=lambda: dict(OBJECTIVE_DEFAULTS))
    """Name -> options; see `xlip.objectives.registry`."""
    optim: OptimConfig = field(default_factory=OptimConfig)
    augment: Augment | None = field(default_factory=Augment)
    prompts: str = "xlip"
    steps: int = 10_000
    seed: int = 0
    precision: str = "auto"
    """auto: bf16 where the machine has fast bf16; or bf16, fp32."""
    log_every: int = 10
    gradient_norms_every: int = 0
    """Steps between logs of every term's own gradient norm; 0 = never."""
    checkpoint_every: int = 1000
    resume: bool = False
    """Go on from the run's last checkpoint."""
    workers: int = 1
    """Processes that build batches ahead; 0 = in the training process."""
    evaluate: DuringTraining = field(default_factory=DuringTraining)


@dataclass(frozen=True)
class Run:
    """What a training run leaves in memory."""

    model: XLIPModel
    curve: list[dict[str, float]]
    """Every logged step: raw terms, total, learning rate, images/s."""


class _Steps(Dataset[Batch]):
    """The batches of steps `first` to `last`, made by index."""

    def __init__(self, sampler: BatchSampler, first: int, last: int) -> None:
        self.sampler, self.first, self.last = sampler, first, last

    def __len__(self) -> int:
        return self.last - self.first

    def __getitem__(self, index: int) -> Batch:
        return self.sampler(self.first + index)


def pretrain(config: PretrainConfig, evaluate: Evaluate | None = None) -> Run:
    """Train, log and save.

    `evaluate` is called with the model every `config.evaluate.every` steps and at the last one, on the main process;
    its figures stand in the log beside those of the step.

    Writes into `config.out`: the model (`XLIPModel.from_pretrained` reads it), `run.json` (resolved config, machine),
    `log.jsonl`, TensorBoard events, `checkpoint/`.

    Raises:
        XLIPError: a fault in config or data, or a loss that is not finite.
    """
    out = Path(config.out)
    precision = mixed_precision(config.precision)
    # accelerate keeps the first precision of a process for ever; a second run may want another one.
    AcceleratorState._reset_state()
    accelerator = Accelerator(
        mixed_precision=precision, kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)]
    )
    objectives = build_objectives(config.objectives)
    prompts = load_prompts(config.prompts)
    tables = build_tables(config.data)
    kinds = training_kinds(tables)
    attributes = ImageAttributes.name in config.objectives
    if attributes:
        refuse_without_headers(tables)
    processor = build_processor(config.model, tables, prompts, attributes=attributes)
    model = build_model(config.model, processor, config.seed).to(accelerator.device)
    optimizer = build_optimizer(model, config.optim)
    start = load_checkpoint(out / "checkpoint", model, optimizer) if config.resume else 0
    schedule = build_schedule(optimizer, config.optim.warmup, config.steps, start)
    pretrainer = accelerator.prepare(Pretrainer(model, objectives).train())
    trainer = Trainer(accelerator, pretrainer, accelerator.prepare(optimizer), schedule, config.optim.clip)
    rank, ranks = accelerator.process_index, accelerator.num_processes
    sampler = BatchSampler(
        tables,
        config.data.mix,
        processor,
        prompts,
        kinds,
        augment=config.augment,
        seed=config.seed,
        rank=rank,
        ranks=ranks,
        attributes=attributes,
    )
    resolved = {**asdict(config), "kinds": kinds, "precision": precision, "ranks": ranks}
    with RunLog(out, resolved, enabled=accelerator.is_main_process, steps=config.steps, start=start) as log:
        _train(config, trainer, model, sampler, log, start, evaluate)
    if accelerator.is_main_process:
        _save_model(model, out, log.curve)
    return Run(model.eval(), log.curve)


def _train(
    config: PretrainConfig,
    trainer: Trainer,
    model: XLIPModel,
    sampler: BatchSampler,
    log: RunLog,
    start: int,
    evaluate: Evaluate | None,
) -> None:
    device, main = trainer.accelerator.device, trainer.accelerator.is_main_process
    flops = training_flops(model, config.data.mix, sampler.processor.max_tokens, len(sampler.kinds))
    meter = Meter(flops, matmul_rate(device, trainer.accelerator.mixed_precision))
    with _batches(sampler, start, config.steps, config.workers) as batches, attention_kernel(device):
        for step, batch in enumerate(batches, start):
            number = hash((config.seed, step, sampler.rank)) & 0x7FFF_FFFF
            generator = torch.Generator().manual_seed(number)
            torch.manual_seed(number)  # dropout draws from the global generator; so does a resumed run then
            batch, progress = batch.to(device), step / max(config.steps - 1, 1)
            measured: dict[str, float] = {}
            if config.gradient_norms_every and step % config.gradient_norms_every == 0:
                measured = term_gradient_norms(trainer, batch, progress, generator)
            values = {**train_step(trainer, batch, progress, generator), **measured}
            if not math.isfinite(values["total"]):
                raise XLIPError(f"step {step}: the loss is {values['total']}; lower optim.lr, or look at {values}")
            rates = meter.tick(len(batch.pixels) * sampler.ranks)
            due = evaluate and config.evaluate.every and (step + 1) % config.evaluate.every == 0
            figures = evaluate(model) if evaluate and main and (due or step == config.steps - 1) else {}
            values = {**values, "lr": float(trainer.schedule.get_last_lr()[0]), **rates, **figures}
            log.step(step, values, every=1 if figures else config.log_every)
            if main and config.checkpoint_every and (step + 1) % config.checkpoint_every == 0:
                save_checkpoint(log.folder / "checkpoint", model, trainer.optimizer, step + 1)
    if main and config.steps % max(config.checkpoint_every, 1):
        save_checkpoint(log.folder / "checkpoint", model, trainer.optimizer, config.steps)


class Meter:
    """Images/s over the last steps, and the share of the machine's measured matrix rate that training uses."""

    def __init__(self, flops_per_step: float, peak: float) -> None:
        self.flops, self.peak, self.times, self.count = flops_per_step, peak, [time.perf_counter()], 0

    def tick(self, images: int) -> dict[str, float]:
        """Call once after every step."""
        self.times = [*self.times[-20:], time.perf_counter()]
        seconds = (self.times[-1] - self.times[0]) / (len(self.times) - 1)
        return {"images_per_s": images / seconds, "share_of_matmul_rate": self.flops / seconds / self.peak}


def term_gradient_norms(
    trainer: Trainer, batch: Batch, progress: float, generator: torch.Generator
) -> dict[str, float]:
    """The gradient norm of each term alone, times its weight: one more forward and a backward each."""
    task = trainer.accelerator.unwrap_model(trainer.pretrainer)
    parameters = [p for p in task.parameters() if p.requires_grad]
    norms = {}
    for objective in task.objectives:
        alone = Pretrainer(task.model, [objective])
        with trainer.accelerator.autocast():
            total = alone(batch, progress, torch.Generator().manual_seed(generator.initial_seed())).total
        gradients = torch.autograd.grad(total, parameters, allow_unused=True)
        squares = [g.float().pow(2).sum() for g in gradients if g is not None]
        norms[f"gradient_norm/{objective.name}"] = float(torch.stack(squares).sum().sqrt())
    return norms


@contextmanager
def _batches(sampler: BatchSampler, start: int, steps: int, workers: int) -> Iterator[Iterator[Batch]]:
    # Spawned, never forked: a forked child of a threaded process may hang.
    options: dict[str, Any] = {"multiprocessing_context": "spawn", "prefetch_factor": 4} if workers else {}
    loader = DataLoader(_Steps(sampler, start, steps), batch_size=None, num_workers=workers, **options)
    iterator = iter(loader)
    try:
        yield iterator
    finally:
        del iterator


def _save_model(model: XLIPModel, out: Path, curve: list[dict[str, float]]) -> None:
    with whole_folder(out / ".model") as partial:
        model.save_pretrained(partial)
        (partial / "curve.json").write_text(json.dumps(curve) + "\n", "utf-8")
    for file in sorted((out / ".model").iterdir()):
        file.replace(out / file.name)
    (out / ".model").rmdir()
