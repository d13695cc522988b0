"""The batches of a run's steps, made ahead by worker processes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from xlip.batches.batch import Batch
from xlip.batches.streams import BatchSampler
from xlip.errors import XLIPError
from xlip.train.stopping import held_back


@dataclass(frozen=True)
class _Fault:
    """A worker's `XLIPError`: raised there, torch would wrap its traceback into the message."""

    message: str


class _Steps(Dataset[Batch | _Fault]):
    """The batches of steps `first` to `last`, made by index."""

    def __init__(self, sampler: BatchSampler, first: int, last: int) -> None:
        self.sampler, self.first, self.last = sampler, first, last

    def __len__(self) -> int:
        return max(self.last - self.first, 0)

    def __getitem__(self, index: int) -> Batch | _Fault:
        try:
            return self.sampler(self.first + index)
        except XLIPError as error:
            return _Fault(str(error))


@contextmanager
def batches(sampler: BatchSampler, start: int, steps: int, *, workers: int, timeout: int) -> Iterator[Iterator[Batch]]:
    """Iterate over the batches of steps `start` to `steps`; nothing keeps running after the block."""
    # Spawned, never forked: a forked child of a threaded process may hang.
    options: dict[str, Any] = {"multiprocessing_context": "spawn", "prefetch_factor": 4, "timeout": timeout}
    options = {**(options if workers else {}), "pin_memory": torch.accelerator.is_available()}
    loader = DataLoader(_Steps(sampler, start, steps), batch_size=None, num_workers=workers, **options)
    with held_back():
        made = iter(loader)
    try:
        yield _checked(made, timeout)
    finally:
        del made


def _checked(made: Iterator[Batch | _Fault], timeout: int) -> Iterator[Batch]:
    """Batches, or one line for what happened to a worker.

    Raises:
        XLIPError: a fault in the data, a worker that was killed or that is stuck.
    """
    while True:
        try:
            batch = next(made)
        except StopIteration:
            return
        except RuntimeError as error:
            said = str(error)
            if "exited unexpectedly" in said:
                raise XLIPError(
                    "a worker that makes batches was killed, most often for want of memory; lower --workers, and go on "
                    "with --resume auto"
                ) from None
            if "timed out" in said:
                raise XLIPError(
                    f"no batch within {timeout} s: is the storage of the data gone? Then go on with --resume auto; "
                    "--worker_timeout sets the limit"
                ) from None
            raise
        if isinstance(batch, _Fault):
            raise XLIPError(batch.message)
        yield batch
