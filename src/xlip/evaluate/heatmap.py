"""Where an image answers to words: what its embedding loses when a part of the image is blurred."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from xlip.evaluate.adapter import ImageTextModel, adapted, with_maps
from xlip.models.xlip import XLIPModel

CELLS = 8
"""Rows and columns of a map."""


LOCAL_SPAN = (0.0, 8.0)
"""Range of a local map's colours, in logits: one scale for all images and kinds, so an absent finding stays dark."""


def heat_map(model: XLIPModel | ImageTextModel, pixels: Tensor, direction: Tensor) -> np.ndarray[Any, Any]:
    """How much each cell speaks for a finding: above 0 it speaks for it.

    Args:
        model: any model of images and texts.
        pixels: (B, 1, S, S) in [0, 1].
        direction: (E,), a kind's positive less its negative prompt embedding.

    Returns:
        (B, rows, columns) float32.
    """
    return (answers(model, pixels) @ direction).numpy()


def has_local_maps(model: XLIPModel | ImageTextModel) -> bool:
    """Whether maps come from the model's local head, in logits; else by occlusion, each image on a scale of its own."""
    return with_maps(adapted(model)) is not None


def answers(model: XLIPModel | ImageTextModel, pixels: Tensor) -> Tensor:
    """(B, rows, columns, E): what each cell's product with a direction is a map of.

    The local head's features times their scale, which AttMIM masks by too, one encoding an image; for models without
    such a head `occlusion`, 65 of them.
    """
    subject = adapted(model)
    if (mapped := with_maps(subject)) is not None:
        return mapped.encode_patches(pixels) * mapped.local_scale()
    return occlusion(subject, pixels)


@torch.no_grad()
def occlusion(model: XLIPModel | ImageTextModel, pixels: Tensor, cells: int = CELLS) -> Tensor:
    """The embedding less that of the image with one cell blurred (after Zeiler & Fergus 2014, who used gray squares).

    A patch token's own cosine is no map: blocks mix the patches, and on the demo's model it finds the finding no better
    than chance (`docs/log.md`). Blurred, not gray: a gray square in a lung looks like a consolidation.

    Args:
        model: any model of images and texts; it encodes each image `cells`^2 + 1 times.
        pixels: (B, 1, S, S) in [0, 1].
        cells: rows and columns.

    Returns:
        (B, cells, cells, E) float32.
    """
    subject = adapted(model)
    whole = subject.encode_pixels(pixels)
    blurred = _blur(pixels, 2 * (pixels.shape[-1] // cells) + 1)
    bounds = np.linspace(0, pixels.shape[-1], cells + 1).round().astype(int)
    lost = []
    for top, bottom in pairwise(bounds):
        for left, right in pairwise(bounds):
            changed = pixels.clone()
            changed[..., top:bottom, left:right] = blurred[..., top:bottom, left:right]
            lost.append(whole - subject.encode_pixels(changed))
    return torch.stack(lost, 1).reshape(len(pixels), cells, cells, -1)


def _blur(pixels: Tensor, kernel: int) -> Tensor:
    return F.avg_pool2d(pixels, kernel, stride=1, padding=kernel // 2, count_include_pad=False)
