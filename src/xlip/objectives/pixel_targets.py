"""What the image decoder predicts: pixels, normalised by their image or by their patch."""

from __future__ import annotations

from torch import Tensor

TARGETS = ("image", "patch")
FLAT = 1e-4
"""Variance (of pixels in [0, 1]) below which a patch is a flat border that normalisation would blow up."""


def pixel_target(pixels: Tensor, patch_size: int, target: str) -> tuple[Tensor, Tensor]:
    """The normalised pixels of every patch, and which patches are flat.

    Normalised by the patch (He et al. 2022, MAE), a patch loses its mean and contrast, which is most of what a text can
    know of it: an effusion is white. Normalised by the image, it keeps them (`docs/log.md`).

    Args:
        pixels: (B, 1, H, W) in [0, 1].
        patch_size: side of a patch, pixels.
        target: `image` or `patch`.

    Returns:
        (B, N, patch_size^2) fp32, and (B, N) bool.
    """
    cut = patches(pixels.float(), patch_size)
    mean, spread = _moments(cut, target)
    return (cut - mean) / spread, cut.var(-1, unbiased=False) <= FLAT


def from_target(predicted: Tensor, pixels: Tensor, patch_size: int, target: str) -> Tensor:
    """Predicted patches (B, N, patch_size^2) back on the scale of the pixels, by the true mean and deviation."""
    mean, spread = _moments(patches(pixels.float(), patch_size), target)
    return predicted * spread + mean


def _moments(cut: Tensor, target: str) -> tuple[Tensor, Tensor]:
    over = -1 if target == "patch" else (1, 2)
    return cut.mean(over, keepdim=True), (cut.var(over, unbiased=False, keepdim=True) + 1e-6).sqrt()


def patches(pixels: Tensor, size: int) -> Tensor:
    """(B, 1, H, W) -> (B, N, size^2), patches row by row."""
    rows, columns = pixels.shape[-2] // size, pixels.shape[-1] // size
    split = pixels.view(-1, rows, size, columns, size).transpose(2, 3)
    return split.reshape(len(pixels), rows * columns, size * size)
