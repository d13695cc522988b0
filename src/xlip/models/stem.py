"""Convolutions that turn pixels into patch tokens, in place of one large projection."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from xlip.errors import XLIPError
from xlip.models.curvature import CHANNELS, curvature
from xlip.models.running_norm import RunningNorm


class ConvStem(nn.Sequential):
    """Two 3x3 convolutions per halving of the resolution (after Xiao et al. 2021, arXiv:2106.14881, which has one).

    The paper of XLIP does not say how patches are embedded; from scratch on thousands of images, this is what makes
    small findings learnable (`docs/log.md`). Group norm with standardised kernels (Kolesnikov et al. 2020,
    arXiv:1912.11370) learns nearly as fast as batch norm, and does not mix the images of a batch: hidden patches stay
    hidden, and ranks need not agree on statistics.
    Input (B, 1, H, W), output (B, D, H / patch, W / patch).

    With `curved`, the kernels see beside the pixels how the image curves at each place, see `curvature`.

    With `local`, the norm knows nothing of the image (`RunningNorm`), so that what comes out knows of its
    neighbourhood alone: `LocalHead` has such a stem.

    Raises:
        XLIPError: a patch size that is not 4, 8, 16 or 32.
    """

    def __init__(self, width: int, patch_size: int, *, local: bool = False, curved: bool = False) -> None:
        halvings = patch_size.bit_length() - 1
        if patch_size not in (4, 8, 16, 32):
            raise XLIPError(f"a conv stem needs a patch size of 4, 8, 16 or 32, not {patch_size}; or take stem: patch")
        layers: list[nn.Module] = []
        fan_in = 1 + CHANNELS * curved
        for remaining in reversed(range(halvings)):
            fan_out = max(width >> remaining, 8)
            layers += [*_convolution(fan_in, fan_out, 2, local), *_convolution(fan_out, fan_out, 1, local)]
            fan_in = fan_out
        super().__init__(*layers, nn.Conv2d(fan_in, width, 1))
        self.curved = curved

    def forward(self, input: Tensor) -> Tensor:
        """(B, 1, H, W) -> (B, D, H / patch, W / patch)."""
        if self.curved:
            input = torch.cat([input, curvature(input).to(input.dtype)], 1)
        made: Tensor = super().forward(input)  # type: ignore[no-untyped-call]
        return made

    def reset_parameters(self) -> None:
        """Draw the kernels anew, uniform in +- 1 / sqrt(fan-in)."""
        for layer in self:
            if isinstance(layer, nn.Conv2d):
                layer.reset_parameters()

    @property
    def weight(self) -> Tensor:
        """The first kernel: `transformers` reads its dtype here, as it does of the projection that this replaces."""
        first = self[0].weight
        assert isinstance(first, Tensor)
        return first


class StandardisedConv(nn.Conv2d):
    """A 3x3 convolution whose kernels have mean 0 and variance 1 / fan-in (Qiao et al. 2019, arXiv:1903.10520)."""

    def forward(self, input: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C_out, H / stride, W / stride)."""
        kernel = self.weight.float()
        variance, mean = torch.var_mean(kernel, (1, 2, 3), keepdim=True)
        standard = (kernel - mean) * torch.rsqrt(variance * kernel[0].numel() + 1e-4)
        return F.conv2d(input, standard.to(self.weight.dtype), None, self.stride, self.padding)


def _convolution(fan_in: int, fan_out: int, stride: int, local: bool) -> tuple[nn.Module, ...]:
    groups = math.gcd(8, max(fan_out // 4, 1))
    norm = RunningNorm(fan_out) if local else nn.GroupNorm(groups, fan_out)
    return StandardisedConv(fan_in, fan_out, 3, stride, 1, bias=False), norm, nn.GELU()
