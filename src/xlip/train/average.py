"""A running mean of the weights (Polyak & Juditsky 1992): often a better model than the last step's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from xlip.errors import XLIPError


class Average:
    """Exponential mean of all weights that learn; those that are frozen are what they are.

    After n updates the decay is min(decay, (1 + n) / (10 + n)): the first steps, which are far from the end, are soon
    forgotten.
    """

    def __init__(self, model: nn.Module, decay: float, updates: int = 0) -> None:
        self.decay, self.updates = decay, updates
        self.weights = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self.mean = {name: p.detach().clone() for name, p in self.weights.items()}

    @torch.no_grad()
    def update(self) -> None:
        """Call once after every step of the optimiser."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        self.updates += 1
        torch._foreach_lerp_(list(self.mean.values()), [p.detach() for p in self.weights.values()], 1 - decay)

    def fill(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on from the means that a checkpoint holds; without any, from the weights as they are.

        Raises:
            XLIPError: they are of other weights.
        """
        if not tensors:
            return
        if tensors.keys() != self.mean.keys():
            differs = sorted(tensors.keys() ^ self.mean.keys())
            raise XLIPError(
                f"optim.ema: the checkpoint averages other weights than learn now (first of {len(differs)}: "
                f"{differs[0]}); freeze what was frozen then"
            )
        for name, tensor in tensors.items():
            self.mean[name].copy_(tensor)

    @contextmanager
    @torch.no_grad()
    def in_place(self) -> Iterator[None]:
        """Within the block the model has the mean weights."""
        own = {name: p.detach().clone() for name, p in self.weights.items()}
        try:
            for name, p in self.weights.items():
                p.copy_(self.mean[name])
            yield
        finally:
            for name, p in self.weights.items():
                p.copy_(own[name])
