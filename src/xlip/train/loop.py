"""`xlip pretrain`: streams in, a run folder out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xlip.batches.streams import BatchSampler, StudyTable
from xlip.errors import XLIPError
from xlip.files import check_target, whole_folder, writing
from xlip.identity import digest
from xlip.models.machine import attention_choice, matmul_rates, mixed_precision
from xlip.models.xlip import XLIPModel
from xlip.objectives.attributes import ImageAttributes
from xlip.objectives.registry import build_objectives, reads_denials
from xlip.study.prompts import PromptSet, load_prompts
from xlip.train.build import build_model, build_processor, build_tables, refuse_without_headers, training_kinds
from xlip.train.checkpoint import FOLDER, Checkpoint, newest, read_checkpoint
from xlip.train.config import DuringTraining, PretrainConfig
from xlip.train.log import RunLog
from xlip.train.optim import build_optimizer, build_schedule
from xlip.train.pretrainer import Pretrainer
from xlip.train.processes import from_main, start_accelerator, start_processes
from xlip.train.resume import as_written, compare, compare_data
from xlip.train.session import Evaluate, Session
from xlip.train.step import Trainer
from xlip.train.stopping import StopRequest

if TYPE_CHECKING:
    from accelerate import PartialState

    from xlip.batches.processor import XLIPProcessor

__all__ = ["DuringTraining", "Evaluate", "PretrainConfig", "Run", "pretrain"]


@dataclass(frozen=True)
class Run:
    """What a training run leaves in memory."""

    model: XLIPModel
    curve: list[dict[str, float]]
    """Every logged step: raw terms, total, learning rate, images/s; empty on other processes than the main one."""
    main: bool = True
    """Whether this is the main process of those that trained together."""


def pretrain(config: PretrainConfig, evaluate: Evaluate | None = None) -> Run:
    """Train, log and save.

    `evaluate` is called with the model every `config.evaluate.every` steps and at the last one, on the main process;
    its figures stand in the log beside those of the step.

    Writes into `config.out`: the model (`XLIPModel.from_pretrained` reads it), `run.json` (resolved config, machine),
    `config.yaml`, `log.jsonl`, `curve.json`, TensorBoard events, `checkpoints/`.

    Raises:
        XLIPError: a fault in config or data, a used folder without `resume`, a loss that is not finite.
        Stopped: SIGINT, SIGTERM, SIGUSR1 or SIGHUP arrived; a checkpoint was written.
    """
    stop = StopRequest()
    with stop.listening():
        return _pretrain(config, evaluate, stop)


def _pretrain(config: PretrainConfig, evaluate: Evaluate | None, stop: StopRequest) -> Run:
    out = Path(config.out)
    processes = start_processes(config.peer_timeout)
    objectives, prompts = build_objectives(config.objectives), load_prompts(config.prompts)
    found = from_main(processes, lambda: _starting_point(config, out))
    checkpoint = read_checkpoint(Path(found)) if found else None
    aside = ("prompts",) if checkpoint and "prompt_texts" in checkpoint.facts else ()  # their texts are compared
    notes = compare(checkpoint.config, as_written(config), found, aside) if checkpoint else []
    tables = build_tables(config.data)
    if attributes := ImageAttributes.name in config.objectives:
        refuse_without_headers(tables)
    given = _facts_of_data(tables, prompts)
    if checkpoint:
        compare_data(checkpoint.facts, given, (checkpoint.config["prompts"], config.prompts), found)
        model, kinds = checkpoint.model(), checkpoint.facts["kinds"]
    else:
        kinds = training_kinds(tables, prompts)
        processor = build_processor(config.model, tables, prompts, attributes=attributes)
        model = build_model(config.model, processor, config.seed)
    chosen = from_main(processes, lambda: _machine_facts(config, model, checkpoint, processes.device))
    facts = {"kinds": kinds, "ranks": processes.num_processes, **given, **chosen}
    accelerator = start_accelerator(chosen["precision"], config.trackers, config.out)
    model = model.to(accelerator.device)
    optimizer = build_optimizer(model, config.optim)
    if checkpoint:
        checkpoint.fill(optimizer)
    start = checkpoint.step if checkpoint else 0
    schedule = build_schedule(optimizer, config.optim.warmup_steps, config.steps, start)
    pretrainer = accelerator.prepare(Pretrainer(model, objectives).train())
    trainer = Trainer(accelerator, pretrainer, accelerator.prepare(optimizer), schedule, config.optim.clip)
    sampler = _sampler(config, tables, model.processor, prompts, kinds, processes)
    log = _run_log(config, facts, checkpoint, accelerator if config.trackers else None, processes.is_main_process)
    with log:
        for line in (*notes, *_machine_lines(facts)):
            log.say(line)
        Session(config, trainer, model, sampler, log, stop, facts, evaluate).run()
    if processes.is_main_process:
        _save_model(model, out, log.curve)
    processes.wait_for_everyone()
    return Run(model.eval(), log.curve, processes.is_main_process)


def _sampler(
    config: PretrainConfig,
    tables: dict[str, StudyTable],
    processor: XLIPProcessor,
    prompts: PromptSet,
    kinds: Sequence[str],
    processes: PartialState,
) -> BatchSampler:
    """What makes the batches of this process."""
    return BatchSampler(
        tables,
        config.data.mix,
        processor,
        prompts,
        kinds,
        augment=config.augment,
        seed=config.seed,
        rank=processes.process_index,
        ranks=processes.num_processes,
        attributes=ImageAttributes.name in config.objectives,
        denials=reads_denials(config.objectives),
        borrowed=config.data.borrowed,
    )


def _starting_point(config: PretrainConfig, out: Path) -> str:
    """The folder of the checkpoint to go on from; '' to start.

    Raises:
        XLIPError: nothing to go on from; or a run in the folder, which a new one would write over.
    """
    check_target(out, folder=True)
    checkpoint = newest(out) if config.resume else None
    if config.resume is True and checkpoint is None:
        raise XLIPError(
            f"{out}: no checkpoint to resume from; leave --resume out, or take --resume auto, to start anew"
        )
    if checkpoint and checkpoint.step > config.steps:
        raise XLIPError(
            f"{out}: made {checkpoint.step} steps already, --steps {config.steps} are fewer; take {checkpoint.step} or "
            "more, or start a new run in another --out"
        )
    used = [name for name in ("run.json", "log.jsonl", "config.json", FOLDER) if (out / name).exists()]
    if not config.resume and used:
        raise XLIPError(
            f"{out}: holds a run already ({used[0]}); go on with it by --resume auto, or choose another --out"
        )
    return str(checkpoint.folder) if checkpoint else ""


def _run_log(
    config: PretrainConfig, facts: dict[str, Any], checkpoint: Checkpoint | None, trackers: Any, enabled: bool
) -> RunLog:
    return RunLog(
        Path(config.out),
        as_written(config),
        facts=facts,
        enabled=enabled,
        steps=config.steps,
        rows=checkpoint.rows if checkpoint else (),
        start=checkpoint.step if checkpoint else 0,
        trackers=trackers,
    )


def _facts_of_data(tables: Mapping[str, StudyTable], prompts: PromptSet) -> dict[str, Any]:
    """What a run that goes on compares with what it began with."""
    return {
        "studies": {name: table.fingerprint() for name, table in tables.items()},
        "content": {name: table.content() for name, table in tables.items()},
        "prompt_texts": digest(asdict(prompts)),
    }


def _machine_facts(
    config: PretrainConfig, model: XLIPModel, checkpoint: Checkpoint | None, device: Any
) -> dict[str, Any]:
    """Format and attention kernel; a run keeps those that it began with unless the config names others."""
    precision = mixed_precision(config.precision, device)
    if checkpoint and config.precision == "auto":
        precision = checkpoint.facts["precision"]
    kernel = attention_choice(device, model.image_tower.attention_shape, precision)
    if checkpoint:
        kernel = checkpoint.facts["attention"]
    return {"precision": precision, "attention": kernel, "matmul_gflops": matmul_rates(device)}


def _machine_lines(facts: dict[str, Any]) -> list[str]:
    rates = ", ".join(f"{rate:.0f} GFLOP/s in {name}" for name, rate in facts["matmul_gflops"].items())
    chosen = "bf16" if facts["precision"] == "bf16" else "fp32"
    return [f"precision {chosen}, {facts['attention']} attention (measured here: {rates})"]


def _save_model(model: XLIPModel, out: Path, curve: list[dict[str, float]]) -> None:
    """The model's files beside the log; its config last, for a folder without one is no model."""
    with writing(out):
        with whole_folder(out / ".model") as partial:
            model.save_pretrained(partial)
            (partial / "curve.json").write_text(json.dumps(curve) + "\n", "utf-8")
        for file in sorted((out / ".model").iterdir(), key=lambda one: (one.name == "config.json", one.name)):
            file.replace(out / file.name)
        (out / ".model").rmdir()
