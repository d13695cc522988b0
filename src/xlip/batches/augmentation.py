"""Augmentation of a whole batch of images at once, mild enough to keep what the report says true.

The rule: docs/protocols.md, preprocessing.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from xlip.batches.draws import Draws, normal, row_draws, uniform
from xlip.batches.noise import counter_normal
from xlip.batches.pixels import from_bytes
from xlip.errors import XLIPError


@dataclass(frozen=True)
class Augment:
    """Crop, rotation, contrast, brightness and noise. No flip: reports say left and right."""

    min_scale: float = 0.7
    """Smallest share of the area that a crop keeps; at least 0.6, a smaller crop removes what the report names."""
    rotation: float = 10.0
    """Largest rotation, degrees, either way."""
    stretch: float = 0.1
    """Largest change of the aspect ratio, either way."""
    contrast: float = 0.25
    """Largest change of the contrast, either way."""
    brightness: float = 0.15
    """Largest change of the brightness, either way, of pixels in [0, 1]."""
    gamma: float = 0.25
    """Largest logarithm of the exponent that gray values are raised to, either way."""
    noise: float = 0.02
    """Largest standard deviation of the noise, of pixels in [0, 1]."""

    def __post_init__(self) -> None:
        if not 0.6 <= self.min_scale <= 1:
            raise XLIPError(f"augment.min_scale: expected 0.6 to 1, got {self.min_scale}")

    def __call__(self, pixels: Tensor, generator: Draws) -> Tensor:
        """(B, 1, H, W) in [0, 1] -> the same shape and range; all draws come from `generator` (on the CPU)."""
        if len(pixels) == 0:
            return pixels
        return self._exposure(self._moved(pixels, generator), generator, None)

    def on_device(self, squares: Tensor, seeds: Tensor) -> Tensor:
        """(B, 1, H, W) uint8 -> fp32 in [0, 1], augmented on the device of the squares.

        The few numbers that place and expose an image come from its own generator on the CPU; the noise of
        its pixels is drawn on the device (`counter_normal`). CPU and GPU agree within 1e-5.

        Args:
            squares: on any device.
            seeds: (B,) int64, on the CPU.
        """
        pixels = from_bytes(squares)
        if len(pixels) == 0:
            return pixels
        draws = row_draws(seeds, "augment")
        return self._exposure(self._moved(pixels, draws), draws, seeds.to(pixels.device, non_blocking=True))

    def placed(self, regions: Tensor, seeds: Tensor) -> Tensor:
        """Regions (B, 1, h, w) in [0, 1] cropped, rotated and stretched as the images of these seeds are; (B, 0) stays.

        Args:
            regions: on any device.
            seeds: (B,) int64, on the CPU.
        """
        return self._moved(regions, row_draws(seeds, "augment")) if regions.numel() else regions

    def _moved(self, pixels: Tensor, generator: Draws) -> Tensor:
        placement = self._placement(len(pixels), generator).to(pixels.device, non_blocking=True)
        grid = F.affine_grid(placement, list(pixels.shape), align_corners=False)
        return F.grid_sample(pixels, grid, padding_mode="zeros", align_corners=False)

    # The first draws of an image, for `placed` repeats them.
    def _placement(self, rows: int, generator: Draws) -> Tensor:
        """(B, 2, 3): from output to input coordinates in [-1, 1]."""

        def between(low: float, high: float) -> Tensor:
            return low + (high - low) * uniform(generator, rows)

        side = between(self.min_scale, 1.0).sqrt()
        stretch = 1 + between(-self.stretch, self.stretch) / 2
        angle = torch.deg2rad(between(-self.rotation, self.rotation))
        shift_x, shift_y = ((1 - side) * between(-1.0, 1.0) for _ in range(2))
        cos, sin = angle.cos() * side, angle.sin() * side
        first = torch.stack([cos * stretch, -sin, shift_x], 1)
        second = torch.stack([sin, cos / stretch, shift_y], 1)
        return torch.stack([first, second], 1)

    def _exposure(self, pixels: Tensor, generator: Draws, seeds: Tensor | None) -> Tensor:
        rows, device = len(pixels), pixels.device

        def within(width: float) -> Tensor:
            return (uniform(generator, rows, 1, 1, 1).to(device) * 2 - 1) * width

        mean = pixels.mean((1, 2, 3), keepdim=True)
        curved = pixels.clamp(0, 1).pow((within(self.gamma)).exp())
        shifted = (curved - mean) * (1 + within(self.contrast)) + mean + within(self.brightness)
        if seeds is None:
            noise = normal(generator, rows, *pixels.shape[1:]).to(device)
        else:
            noise = counter_normal(seeds, tuple(pixels.shape[1:]))
        return (shifted + noise * within(self.noise).abs()).clamp(0, 1)
