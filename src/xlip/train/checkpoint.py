"""Checkpoints without pickle: tensors in safetensors, the rest in JSON; a folder appears whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from xlip.errors import XLIPError
from xlip.files import whole_folder
from xlip.models.loading import load_checked
from xlip.models.xlip import XLIPModel

__all__ = ["load_checkpoint", "save_checkpoint", "whole_folder"]
TENSORS, STATE = "optimizer.safetensors", "trainer.json"


def save_checkpoint(folder: Path, model: XLIPModel, optimizer: torch.optim.Optimizer, step: int) -> None:
    """Write model, optimiser and step; the streams need no state, they are a function of the step."""
    state = optimizer.state_dict()
    tensors, scalars = {}, {}
    for index, entry in state["state"].items():
        for name, value in entry.items():
            if isinstance(value, torch.Tensor):
                tensors[f"{index}.{name}"] = value.detach().cpu().contiguous()
            else:
                scalars[f"{index}.{name}"] = value
    with whole_folder(folder) as partial:
        model.save_pretrained(partial)
        save_file(tensors, str(partial / TENSORS))
        trainer = {"step": step, "groups": state["param_groups"], "scalars": scalars}
        (partial / STATE).write_text(json.dumps(trainer, indent=1) + "\n", "utf-8")


def load_checkpoint(folder: Path, model: XLIPModel, optimizer: torch.optim.Optimizer) -> int:
    """Fill model and optimiser in place; returns the number of steps done.

    Raises:
        XLIPError: there is no checkpoint, or it belongs to another model.
    """
    if not (folder / STATE).is_file():
        raise XLIPError(f"{folder}: no checkpoint to resume from; leave --resume out to start anew")
    # By way of a model: `transformers` stores some weights under other names than it uses.
    saved, own = load_checked(str(folder)).state_dict(), model.state_dict()
    different = sorted(name for name in saved.keys() | own.keys() if _shape(saved, name) != _shape(own, name))
    if different:
        raise XLIPError(f"{folder}: the checkpoint is of another model (it differs in {different[0]}); check `model`")
    model.load_state_dict(saved)
    trainer: dict[str, Any] = json.loads((folder / STATE).read_text("utf-8"))
    state: dict[int, dict[str, Any]] = {}
    for key, value in {**load_file(str(folder / TENSORS)), **trainer["scalars"]}.items():
        index, name = key.split(".", 1)
        state.setdefault(int(index), {})[name] = value
    # The schedule multiplies the configured rate, not the one of the step that was saved.
    groups = [
        {**saved, "lr": group["lr"]} for saved, group in zip(trainer["groups"], optimizer.param_groups, strict=True)
    ]
    for group in groups:
        group.pop("initial_lr", None)
    optimizer.load_state_dict({"state": state, "param_groups": groups})
    step: int = trainer["step"]
    return step


def _shape(state: dict[str, torch.Tensor], name: str) -> tuple[int, ...] | None:
    return tuple(state[name].shape) if name in state else None
