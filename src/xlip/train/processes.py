"""Several processes that train together: how they start, what they say to each other, what happens when one is lost."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from importlib.util import find_spec
from typing import Any

import torch
from accelerate import Accelerator, PartialState
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedDataParallelKwargs, LoggerType, gather_object
from torch import distributed as dist

from xlip.errors import XLIPError
from xlip.train.sharding import whole

HOW = "torchrun --nproc_per_node N -m xlip.cli pretrain ... (docs/howto/several_processes.md)"
LOST = ("gloo", "NCCL", "Connection closed", "Connection reset", "Broken pipe", "timed out", "Timed out")
"""What the libraries between processes say when another process does not answer any more."""


def start_processes(timeout: int) -> PartialState:
    """The place of this process among those that were started together, on an accelerator or, without one, on the CPU.

    Args:
        timeout: seconds without an answer after which the others count as lost.

    Raises:
        XLIPError: more processes were asked for than train together.
    """
    # Without `cpu`, processes on CPUs would each train alone.
    processes = PartialState(cpu=_on_cpu(), timeout=timedelta(seconds=timeout))
    _refuse_lone_processes(processes.num_processes)
    return processes


def start_accelerator(precision: str, trackers: Sequence[str], folder: str) -> Accelerator:
    """What wraps the model for the processes that `start_processes` found.

    Args:
        precision: `bf16`, `fp16` or `no`.
        trackers: names that accelerate knows (wandb, mlflow, ...).
        folder: where trackers that write files put them.

    Raises:
        XLIPError: a tracker that is not known or not installed.
    """
    for name in trackers:
        if name not in LoggerType.list() or find_spec(name) is None:
            raise XLIPError(
                f"trackers: {name} is not installed, or unknown to accelerate; pip install it, or leave it out"
            )
    # accelerate keeps the first precision of a process for ever; a second run may want another one.
    AcceleratorState._reset_state()
    return Accelerator(
        cpu=_on_cpu(),
        mixed_precision=precision,
        log_with=list(trackers) or None,
        project_dir=folder,
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
    )


def _on_cpu() -> bool:
    return not torch.accelerator.is_available()


def _refuse_lone_processes(found: int) -> None:
    started = int(os.environ.get("WORLD_SIZE", "1"))
    if started != found:
        raise XLIPError(
            f"{started} processes were started (WORLD_SIZE), but this one trains among {found}: they would write over "
            f"each other; start them by {HOW}"
        )
    # What `accelerate launch --cpu --num_processes 2` leaves: an address to meet at, and one process.
    if found == 1 and "MASTER_ADDR" in os.environ and "ACCELERATE_USE_CPU" in os.environ and "RANK" not in os.environ:
        raise XLIPError(
            "accelerate was asked for several processes on the CPU, but starts only one there; "
            f"start them by {HOW} or by accelerate launch --multi_gpu --num_processes N -m xlip.cli pretrain ..."
        )


def means(accelerator: Accelerator, values: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The mean over all processes of named scalars, on the device."""
    stacked = torch.stack([whole(value.detach()).float() for value in values.values()])
    if accelerator.num_processes > 1:
        stacked = accelerator.reduce(stacked, "mean")
    return dict(zip(values, stacked.unbind(), strict=True))


def average_gradients(accelerator: Accelerator, model: torch.nn.Module) -> None:
    """Give every process the mean gradient, as a data-parallel wrapper does, for gradients that it did not see.

    A weight that no process reached keeps none.
    """
    if accelerator.num_processes == 1:
        return
    weights = [p for p in model.parameters() if p.requires_grad]
    reached = torch.tensor([float(p.grad is not None) for p in weights], device=accelerator.device)
    dist.all_reduce(reached)
    for p, by in zip(weights, reached.tolist(), strict=True):
        if by:
            p.grad = torch.zeros_like(p) if p.grad is None else p.grad
            dist.all_reduce(p.grad)
            p.grad /= accelerator.num_processes


def on_any(accelerator: Accelerator, number: int) -> int:
    """The largest of the processes' numbers: they leave a loop together."""
    if accelerator.num_processes == 1:
        return number
    largest = torch.tensor(number, device=accelerator.device)
    dist.all_reduce(largest, dist.ReduceOp.MAX)
    return int(largest)


def of_all(accelerator: Accelerator, values: Sequence[Any]) -> list[Any]:
    """The values of all processes, one after the other."""
    return list(values) if accelerator.num_processes == 1 else list(gather_object(list(values)))


def from_main(accelerator: PartialState, find: Callable[[], Any]) -> Any:
    """What `find()` returns on the main process, on every process; its `XLIPError` is raised on every process too."""
    if accelerator.num_processes == 1:
        return find()
    answer: list[Any] = [None, None]
    if accelerator.is_main_process:
        try:
            answer = [find(), None]
        except XLIPError as error:
            answer = [None, str(error)]
    dist.broadcast_object_list(answer, src=0, device=accelerator.device)
    if answer[1] is not None:
        raise XLIPError(answer[1])
    return answer[0]


@contextmanager
def while_together(accelerator: Accelerator, go_on: str) -> Iterator[None]:
    """Turns the loss of another process into one line.

    Raises:
        XLIPError: another process ended or did not answer in time.
    """
    try:
        yield
    except RuntimeError as error:
        if accelerator.num_processes == 1 or not any(word in str(error) for word in LOST):
            raise
        reason = " ".join(str(error).split())[:200]
        raise XLIPError(f"another process of this run is gone ({reason}); see what it said, then {go_on}") from error
