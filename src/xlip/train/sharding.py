"""Weights, gradients and the optimiser's state split over the processes (FSDP2, Zhao et al. 2023, arXiv:2304.11277).

By `fully_shard` of torch itself: accelerate offers it on accelerators alone, and a run has to be testable on two CPUs.
Checkpoints hold whole tensors, so a run may go on with any number of processes, sharded or not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from xlip.errors import XLIPError
from xlip.train.pretrainer import Pretrainer

SCALARS = "scalars_before_sharding"
"""Attribute of a model: the names of its scalars."""


def shard(task: Pretrainer) -> None:
    """Split the weights over all processes, in place: block by block of both towers, and all the rest together.

    What is split needs a dimension: scalars get one, which `whole_weights` takes away again.
    """
    model = task.model
    setattr(model, SCALARS, frozenset(name for name, one in model.named_parameters() if one.dim() == 0))
    for parameter in model.parameters():
        if parameter.dim() == 0:
            parameter.data = parameter.data.reshape(1)
    for tower in (model.image_tower, model.text_tower):
        for block in tower.blocks:
            fully_shard(block)
    fully_shard(task)


def refuse_with_shards(options: Mapping[str, bool]) -> None:
    """Refuse what is not made for split weights.

    Raises:
        XLIPError: one of the named options is in use.
    """
    used = [name for name, given in options.items() if given]
    if used:
        raise XLIPError(f"shard: not together with {used[0]}; leave out one of them")


def whole(value: Any) -> Any:
    """A tensor of which each process holds a part, as a whole, on all of them; anything else as it is.

    Every process has to call it, in the same order.
    """
    return value.full_tensor() if isinstance(value, DTensor) else value


def whole_weights(model: nn.Module) -> dict[str, Tensor] | None:
    """All weights by name, whole; None where they are not split."""
    state: dict[str, Tensor] = model.state_dict()
    if not any(isinstance(value, DTensor) for value in state.values()):
        return None
    scalars: frozenset[str] = getattr(model, SCALARS, frozenset())
    found = {name: whole(value) for name, value in state.items()}
    return {name: value.reshape(()) if name in scalars else value for name, value in found.items()}


def split_as(value: Any, like: Tensor) -> Any:
    """A whole tensor, split as a weight is; anything else, and where the weight is not split, as it is."""
    if isinstance(value, Tensor) and value.numel() == like.numel() == 1:
        value = value.reshape(like.shape)
    if isinstance(value, Tensor) and isinstance(like, DTensor) and value.shape == like.shape:
        return distribute_tensor(value.to(like.device), like.device_mesh, like.placements)
    return value
