"""Checkpoints without pickle: all that a run goes on from, in folders that appear whole, are summed, and are few."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from xlip.checksums import SUMS, changed_files, write_sums
from xlip.errors import XLIPError
from xlip.files import reading, sync_folder, whole_folder, writing
from xlip.models.adapters import adapter_weights
from xlip.models.loading import load_checked
from xlip.models.xlip import XLIPModel
from xlip.train.average import Average
from xlip.train.sharding import split_as, whole, whole_weights

FOLDER, TENSORS, STATE, LOG = "checkpoints", "optimizer.safetensors", "trainer.json", "log.jsonl"
MEAN, ADAPTERS = "average.safetensors", "adapters.safetensors"
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Checkpoint:
    """A whole one: its folder, and what stands beside its tensors."""

    folder: Path
    step: int
    """Steps done."""
    config: dict[str, Any]
    """The run's config as it was; see `xlip.train.resume`."""
    facts: dict[str, Any]
    """What the run found out as it began: kinds, precision, the sets' fingerprints."""
    figure: float | None
    """Of the evaluation at this step; None where there was none."""
    groups: list[dict[str, Any]]
    scalars: dict[str, float]
    rows: list[dict[str, float]]
    """The log up to this step."""
    updates: int = 0
    """Of the running mean of the weights."""
    scaler: dict[str, float] | None = None
    """The loss scale of fp16 and when it changes; None in other formats."""

    def model(self) -> XLIPModel:
        """The model, with its processor."""
        return load_checked(str(self.folder))

    def fill(self, optimizer: torch.optim.Optimizer) -> None:
        """Load the optimiser's state. Rates and decays are those that it was built with: a run may change them."""
        with reading(self.folder / TENSORS):
            tensors: dict[str, Any] = load_file(str(self.folder / TENSORS))
        state: dict[int, dict[str, Any]] = {}
        weights = [weight for group in optimizer.param_groups for weight in group["params"]]
        for key, value in {**tensors, **self.scalars}.items():
            index, name = key.split(".", 1)
            # How many steps were made is a number, whatever the shape of the weight.
            state.setdefault(int(index), {})[name] = value if name == "step" else split_as(value, weights[int(index)])
        own = optimizer.state_dict()["param_groups"]
        groups = [{**new, "params": old["params"]} for new, old in zip(own, self.groups, strict=True)]
        optimizer.load_state_dict({"state": state, "param_groups": groups})

    def mean(self) -> dict[str, torch.Tensor]:
        """The running mean of the weights, by name; empty where the run had none."""
        return self._tensors(MEAN)

    def adapters(self) -> dict[str, torch.Tensor]:
        """Weights of adapters, and of the layers that they adapt; empty where the run had none."""
        return self._tensors(ADAPTERS)

    def _tensors(self, name: str) -> dict[str, torch.Tensor]:
        if not (self.folder / name).is_file():
            return {}
        with reading(self.folder / name):
            found: dict[str, torch.Tensor] = load_file(str(self.folder / name))
        return found


def save_checkpoint(
    run: Path,
    model: XLIPModel,
    optimizer: torch.optim.Optimizer,
    step: int,
    *,
    config: Mapping[str, Any],
    facts: Mapping[str, Any],
    rows: Sequence[Mapping[str, float]],
    figure: float | None = None,
    keep: int = 2,
    average: Average | None = None,
    scaler: Any = None,
    main: bool = True,
) -> Path:
    """Write everything after `step` steps; the newest `keep` stay, and the one with the best figure.

    Every process calls it, one of them is `main` and writes: split weights are gathered before.

    Raises:
        XLIPError: the disk is full, or the folder cannot be written.
    """
    state, weights, target = optimizer.state_dict(), whole_weights(model), run / FOLDER / f"step-{step:08d}"
    named = {f"{i}.{name}": whole(value) for i, entry in state["state"].items() for name, value in entry.items()}
    if not main:
        return target
    tensors = {name: v.detach().cpu().contiguous() for name, v in named.items() if isinstance(v, torch.Tensor)}
    trainer = {
        "step": step,
        "figure": figure,
        "facts": facts,
        "config": config,
        "groups": state["param_groups"],
        "scalars": {name: value for name, value in named.items() if name not in tensors},
        "updates": average.updates if average else 0,
        "scaler": scaler.state_dict() if scaler is not None else None,
    }
    more = {TENSORS: tensors, MEAN: average.mean if average else {}, ADAPTERS: adapter_weights(model)}
    with writing(target), whole_folder(target) as partial:
        model.save_pretrained(partial, state_dict=weights)
        for name, kept in more.items():
            if kept or name == TENSORS:
                save_tensors({key: v.detach().cpu().contiguous() for key, v in kept.items()}, partial / name)
        (partial / STATE).write_text(json.dumps(trainer, indent=1) + "\n", "utf-8")
        (partial / LOG).write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
        write_sums(partial)
        sync_folder(partial)
    _remove_old(run / FOLDER, keep)
    return target


def save_tensors(tensors: dict[str, torch.Tensor], path: Path) -> None:
    """`save_file`, whose fault on a full disk is an `OSError` as that of every other write."""
    from safetensors import SafetensorError

    try:
        save_file(tensors, str(path))
    except SafetensorError as error:
        raise OSError(str(error)) from error


def newest(run: Path) -> Checkpoint | None:
    """The last checkpoint of a run that is whole; damaged ones are named in a warning and passed over.

    Raises:
        XLIPError: there are checkpoints, and every one is damaged.
    """
    folders = sorted((run / FOLDER).glob("step-*"), reverse=True)
    for folder in folders:
        try:
            return read_checkpoint(folder)
        except XLIPError as error:
            logger.warning("%s; going back to the one before", error)
    if folders:
        raise XLIPError(f"{run / FOLDER}: no checkpoint is whole; copy one again, or start anew in another folder")
    return None


def read_checkpoint(folder: Path) -> Checkpoint:
    """A checkpoint whose every file is what was written.

    Raises:
        XLIPError: a file is missing, cannot be read or has changed.
    """
    if not (folder / SUMS).is_file():
        raise XLIPError(f"{folder}: a damaged checkpoint, it has no {SUMS}")
    with reading(folder, "a damaged checkpoint"):
        try:
            changed = changed_files(folder, all_files=True)
        except XLIPError as error:
            raise ValueError(str(error)) from error
    if changed:
        raise XLIPError(f"{folder}: a damaged checkpoint, {changed[0]} is not what was written")
    with reading(folder, "a damaged checkpoint"):
        state = json.loads((folder / STATE).read_text("utf-8"))
        rows = [json.loads(line) for line in (folder / LOG).read_text("utf-8").splitlines()]
        return Checkpoint(folder, rows=rows, **state)


def _remove_old(folder: Path, keep: int) -> None:
    made = sorted(folder.glob("step-*"))
    best = max(made, key=lambda one: (_figure(one), one.name))
    for old in made[: -max(keep, 1)]:
        if old != best or _figure(best) < 0:
            # Renamed first: a folder that is half removed must not look like a checkpoint.
            shutil.rmtree(old.rename(old.with_name(f".{old.name}.old")), ignore_errors=True)
    for left in folder.glob(".step-*"):
        shutil.rmtree(left, ignore_errors=True)  # of processes that died while they wrote


def _figure(folder: Path) -> float:
    try:
        figure = json.loads((folder / STATE).read_text("utf-8"))["figure"]
    except (OSError, ValueError, KeyError, TypeError):
        return -1.0
    return -1.0 if figure is None else float(figure)
