"""A norm that tells a place nothing of its image: channels scaled by what they were over the steps before."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch import distributed as dist

EPS = 1e-5
MOMENTUM = 0.3
"""Weight of a step's own statistics in the running ones."""


class RunningNorm(nn.Module):
    """(B, C, H, W) -> the same shape: less the channels' running means, over their running deviations, scale and shift.

    A norm over an image (group norm) lets every place read of the whole image, so that a map may point anywhere; a norm
    over the channels of each place hides how strongly a place answers, and a stem with it needs hundreds of steps to
    begin to learn. Batch norm does neither, but mixes the images of a batch and needs them all at once. Here the
    statistics are constants of the step, those of the steps before: the images of a batch do not mix, a step in parts
    equals a step in one, ranks agree, and in evaluation nothing changes. That gradients do not pass through them is
    made up for by the standardised kernels before, whose scale cannot run away (`docs/log.md`; the idea of normalising
    by earlier statistics is that of Ioffe 2017, arXiv:1702.03275).

    `settle` must be called after every step of training.
    """

    mean: Tensor
    variance: Tensor
    steps: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("variance", torch.ones(channels))
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))
        self._seen: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Normalise; in training with gradients, note the statistics of what was seen."""
        if self.training and torch.is_grad_enabled():
            self._note(x)
        scale = self.weight * torch.rsqrt(self.variance + EPS)
        shift = self.bias - self.mean * scale
        return x * scale.to(x.dtype)[:, None, None] + shift.to(x.dtype)[:, None, None]

    @torch.no_grad()
    def settle(self) -> None:
        """Let what all processes have seen since the last call weigh in the running statistics."""
        seen, self._seen = self._seen, None
        if seen is None:
            seen = self.mean.new_zeros(3, len(self.mean))
        if dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1:
            dist.all_reduce(seen)
        # What is not finite counts for nothing, as the step does that brought it.
        any_seen, count = (seen[2] > 0) & seen.isfinite().all(), seen[2].clamp(min=1)
        seen = seen.nan_to_num(0.0, 0.0, 0.0)
        mean = seen[0] / count
        variance = (seen[1] / count - mean.square()).clamp(min=0)
        # The first steps count for more, as the start (mean 0, variance 1) is no statistic of anything. No value is
        # read from the device.
        share = (1 / (self.steps + 1)).clamp(min=MOMENTUM) * any_seen
        self.mean.lerp_(mean, share)
        self.variance.lerp_(variance, share)
        self.steps += any_seen[0]

    @torch.no_grad()
    def _note(self, x: Tensor) -> None:
        wide = x.detach().float()
        count = torch.full_like(self.mean, wide[:, 0].numel())
        found = torch.stack([wide.sum((0, 2, 3)), wide.square().sum((0, 2, 3)), count])
        self._seen = found if self._seen is None else self._seen + found


def settle(model: nn.Module) -> None:
    """`RunningNorm.settle` of every such norm of a model; a step of training ends with it on every process."""
    for module in model.modules():
        if isinstance(module, RunningNorm):
            module.settle()
