"""Where an image answers to words: what its embedding loses when a part of the image is blurred."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from xlip.evaluate.adapter import ImageTextModel, XLIPAdapter, adapted
from xlip.explain.explanation import SPANS
from xlip.explain.occlusion import CELLS
from xlip.explain.occlusion import occlusion as blurred_away
from xlip.models.xlip import XLIPModel
from xlip.runtime.encoder import Array

LOCAL_SPAN = SPANS["response"]
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
    subject = adapted(model)
    return isinstance(subject, XLIPAdapter) and subject.model.local is not None


def answers(model: XLIPModel | ImageTextModel, pixels: Tensor) -> Tensor:
    """(B, rows, columns, E): what each cell's product with a direction is a map of.

    The local head's features times their scale, which AttMIM masks by too, one encoding an image; for models without
    such a head `occlusion`, 65 of them.
    """
    subject = adapted(model)
    if isinstance(subject, XLIPAdapter) and subject.model.local is not None:
        return subject.encode_patches(pixels) * float(subject.model.local.log_scale.detach().exp())
    return occlusion(subject, pixels)


def occlusion(model: XLIPModel | ImageTextModel, pixels: Tensor, cells: int = CELLS) -> Tensor:
    """`xlip.explain.occlusion.occlusion` of any model: (B, 1, S, S) in [0, 1] -> (B, cells, cells, E) float32."""
    subject = adapted(model)

    def encode(images: Array) -> Array:
        return np.asarray(subject.encode_pixels(torch.from_numpy(images).unsqueeze(1)).numpy(), np.float32)

    return torch.from_numpy(blurred_away(encode, pixels.squeeze(1).numpy(), cells))
