"""Where an image answers to words: the response of each patch to a direction of the joint space."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from xlip.models.xlip import XLIPModel


@torch.no_grad()
def patch_response(model: XLIPModel, pixels: Tensor, direction: Tensor) -> np.ndarray[Any, Any]:
    """Each patch's cosine-like product with a direction: above 0 it speaks for the finding, below 0 against it.

    The product is `u . d`, u the patch's token (before pooling) through the image head, L2-normalised, and d = positive
    minus negative prompt embedding of a kind (not normalised, so |d| <= 2).

    Args:
        model: the towers; it stays on its device.
        pixels: (B, 1, H, W) in [0, 1].
        direction: (E,) for all images, or (B, E), one for each.

    Returns:
        (B, grid, grid) float32.
    """
    tokens = model.images(pixels.to(model.device)).tokens
    unit = torch.nn.functional.normalize(model.image_head(tokens).float(), dim=-1)
    directions = direction.to(unit).expand(len(pixels), -1)
    response = torch.einsum("bne,be->bn", unit, directions)
    grid = model.image_tower.grid
    return response.view(len(pixels), grid, grid).cpu().numpy()
