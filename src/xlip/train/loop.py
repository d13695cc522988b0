"""`xlip pretrain`: streams in, a run folder out."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState

from xlip.batches.draws import seed_of
from xlip.batches.streams import BatchSampler
from xlip.batches.study_table import StudyTable
from xlip.errors import XLIPError
from xlip.files import check_target, whole_folder, writing
from xlip.identity import digest
from xlip.models.adapters import add_adapters
from xlip.models.machine import attention_choice, matmul_rates, mixed_precision
from xlip.models.xlip import XLIPModel
from xlip.objectives.attributes import ImageAttributes
from xlip.objectives.registry import build_objectives, reads_denials, reads_regions
from xlip.study.prompts import PromptSet, load_prompts
from xlip.train.average import Average
from xlip.train.build import (
    build_model,
    build_processor,
    build_tables,
    refuse_without_headers,
    refuse_without_regions,
    training_kinds,
)
from xlip.train.checkpoint import FOLDER, Checkpoint, newest, read_checkpoint
from xlip.train.config import DuringTraining, PretrainConfig
from xlip.train.log import RunLog
from xlip.train.optim import build_optimizer, build_schedule, freeze
from xlip.train.pretrainer import Pretrainer
from xlip.train.processes import from_main, start_accelerator, start_processes
from xlip.train.resume import as_written, compare, compare_data
from xlip.train.session import Evaluate, Session
from xlip.train.sharding import refuse_with_shards, shard, whole_weights
from xlip.train.step import Trainer
from xlip.train.stopping import StopRequest

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
    `config.yaml`, `log.jsonl`, `curve.json`, TensorBoard events, `checkpoints/`; with `optim.ema`, the model of the
    averaged weights as `ema/`.

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
    if reads_regions(config.objectives):
        refuse_without_regions(tables)
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
    trainer = _trainer(config, accelerator, Pretrainer(model, objectives), checkpoint)
    sampler = BatchSampler(
        tables,
        config.data.mix,
        model.processor,
        prompts,
        kinds,
        attributes=attributes,
        **_sampling(config, processes),
    )
    log = _run_log(config, facts, checkpoint, accelerator if config.trackers else None, processes.is_main_process)
    with log:
        for line in (*notes, *_machine_lines(facts)):
            log.say(line)
        Session(config, trainer, model, sampler, log, stop, facts, evaluate).run()
    weights = whole_weights(model)
    if processes.is_main_process:
        _save_model(model, out, log.curve, weights)
        if trainer.average is not None:
            with trainer.average.in_place(), whole_folder(out / "ema") as partial:
                model.save_pretrained(partial)
    processes.wait_for_everyone()
    return Run(model.eval(), log.curve, processes.is_main_process)


def _sampling(config: PretrainConfig, processes: PartialState) -> dict[str, Any]:
    """What the batches of this process follow from, besides the data."""
    return {
        "augment": config.augment,
        "seed": config.seed,
        "rank": processes.process_index,
        "ranks": processes.num_processes,
        "denials": reads_denials(config.objectives),
        "regions": reads_regions(config.objectives),
        "borrowed": config.data.borrowed,
        "as_bytes": _on_device(config, processes.device),
        "samplers": max(config.workers, 1) * int(os.environ.get("LOCAL_WORLD_SIZE", "1")),
    }


def _on_device(config: PretrainConfig, device: torch.device) -> bool:
    """Whether the device augments."""
    return config.augment_on == "device" or (config.augment_on == "auto" and device.type != "cpu")


def _trainer(config: PretrainConfig, accelerator: Any, task: Pretrainer, checkpoint: Checkpoint | None) -> Trainer:
    """The parts of a step, as they begin or as the checkpoint left them."""
    optim, model = config.optim, task.model
    if optim.lora_rank:
        _adapt(config, model)
    freeze(model, optim)
    if config.shard:
        options = {"parts": config.parts > 1, "optim.ema": bool(optim.ema), "optim.lora_rank": bool(optim.lora_rank)}
        options |= {"gradient_norms_every": bool(config.gradient_norms_every), "evaluate": bool(config.evaluate.every)}
        refuse_with_shards(options | {"precision fp16": accelerator.scaler is not None})
        shard(task)
    if config.recompute:
        for tower in (model.image_tower, model.text_tower):
            tower.encoder.activation_checkpointing_enable({"use_reentrant": False})
    optimizer = build_optimizer(model, optim)
    average = Average(model, optim.ema) if optim.ema else None
    if checkpoint:
        model.load_state_dict(checkpoint.adapters(), strict=False)
        checkpoint.fill(optimizer)
        if average is not None:
            average.updates = checkpoint.updates
            average.fill(checkpoint.mean())
        if accelerator.scaler is not None and checkpoint.scaler:
            accelerator.scaler.load_state_dict(checkpoint.scaler)
    start = checkpoint.step if checkpoint else 0
    schedule = build_schedule(optimizer, optim.warmup_steps, config.steps, start)
    # Parts sum their gradients themselves; split weights do so by their own hooks.
    wrapped = task.train() if config.shard or config.parts > 1 else accelerator.prepare(task.train())
    prepared = accelerator.prepare(optimizer)
    return Trainer(accelerator, wrapped, prepared, schedule, optim.clip, average, config.parts, config.shard)


def _adapt(config: PretrainConfig, model: XLIPModel) -> None:
    """Adapters for the towers that start from a checkpoint.

    Raises:
        XLIPError: none does.
    """
    towers = ((config.model.image_checkpoint, model.image_tower), (config.model.text_checkpoint, model.text_tower))
    chosen = [tower for path, tower in towers if path]
    if not chosen:
        raise XLIPError(
            "optim.lora_rank: expected a tower that starts from a checkpoint (model.image_checkpoint or "
            "model.text_checkpoint), got none; take 0 to train from scratch"
        )
    torch.manual_seed(seed_of(config.seed, "adapters"))
    for tower in chosen:
        add_adapters(tower.encoder, config.optim.lora_rank, "optim.lora_rank")


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
    chosen = facts["precision"].replace("no", "fp32")
    return [f"precision {chosen}, {facts['attention']} attention (measured here: {rates})"]


def _save_model(
    model: XLIPModel, out: Path, curve: list[dict[str, float]], weights: dict[str, torch.Tensor] | None
) -> None:
    """The model's files beside the log; its config last, for a folder without one is no model."""
    with writing(out):
        with whole_folder(out / ".model") as partial:
            model.save_pretrained(partial, state_dict=weights)
            (partial / "curve.json").write_text(json.dumps(curve) + "\n", "utf-8")
        for file in sorted((out / ".model").iterdir(), key=lambda one: (one.name == "config.json", one.name)):
            file.replace(out / file.name)
        (out / ".model").rmdir()
