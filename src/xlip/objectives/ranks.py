"""Rows of all ranks, with gradient: negatives come from every process (docs/method.md, contrastive)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist

from xlip.objectives.objective import distributed


def gather(local: Tensor) -> Tensor:
    """Rows of all ranks (padding excluded), with gradient to every rank's own; the identity on one process."""
    if not distributed():
        return local
    counts = [torch.zeros((), dtype=torch.long, device=local.device) for _ in range(dist.get_world_size())]
    dist.all_gather(counts, torch.tensor(len(local), device=local.device))
    longest = max(int(count) for count in counts)
    padded = torch.cat([local, local.new_zeros(longest - len(local), *local.shape[1:])])
    parts: Tensor = _Gather.apply(padded)  # type: ignore[no-untyped-call]
    return torch.cat([part[: int(count)] for part, count in zip(parts, counts, strict=True)])


class _Gather(torch.autograd.Function):
    """(M, ...) of each of R ranks -> (R, M, ...) on all; backward: a rank's rows get the gradients of every rank."""

    @staticmethod
    def forward(ctx: Any, local: Tensor) -> Tensor:
        parts = [torch.empty_like(local) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, local.contiguous())
        return torch.stack(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        summed = gradients[0].contiguous()
        dist.all_reduce(summed)
        return summed[dist.get_rank()]
