"""Separable smoothing of maps as products with banded matrices."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from xlip.models.full_precision import full_precision


def smooth(maps: Tensor, weights: Sequence[float]) -> Tensor:
    """A weighted mean over each place's neighbourhood, along rows and columns; the border repeats the outermost place.

    Convolutions of a single channel are the slowest that there are on a processor: two matrix products take an eighth
    of their time for maps of 16 x 16 (`docs/log.md`).

    Args:
        maps: (..., h, w).
        weights: an odd number of them, of a place's neighbours from the one before to the one behind; they are scaled
            to sum to 1.

    Returns:
        The same shape.
    """
    rows = _band(maps.shape[-2], weights, maps)
    columns = rows if maps.shape[-1] == maps.shape[-2] else _band(maps.shape[-1], weights, maps)
    with full_precision(maps.device):  # a mean of many places wants all its digits
        return rows @ (maps @ columns.mT)


def _band(size: int, weights: Sequence[float], like: Tensor) -> Tensor:
    """(size, size): row i holds the weights around place i, those beyond the border added to the outermost place."""
    reach, places = len(weights) // 2, torch.arange(size, device=like.device)
    band = like.new_zeros(size, size)
    for offset, weight in enumerate(weights, -reach):
        seen = (places + offset).clamp(0, size - 1)
        band = band + (seen[:, None] == places).to(like.dtype) * (weight / sum(weights))
    return band
