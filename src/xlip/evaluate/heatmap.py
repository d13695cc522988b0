"""Where an image answers to words: what its embedding loses when a part of the image is blurred."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from xlip.evaluate.adapter import ImageTextModel, adapted
from xlip.evaluate.map_model import with_maps
from xlip.explain.explanation import SPANS
from xlip.explain.occlusion import CELLS
from xlip.explain.occlusion import occlusion as blurred_away
from xlip.models.xlip import XLIPModel
from xlip.runtime.encoder import Array

LOCAL_SPAN = SPANS["response"]
"""Range of a local map's colours, in logits: one scale for all images and kinds, so an absent finding stays dark."""


def heat_maps(model: XLIPModel | ImageTextModel, pixels: Tensor, pairs: Tensor, by: str = "auto") -> Array:
    """How much each cell speaks for each finding: above 0 it speaks for it.

    Args:
        model: any model of images and texts.
        pixels: (B, 1, S, S) in [0, 1].
        pairs: (K, 2, E), the kinds' positive and negative prompt embeddings.
        by: `patches`: the local head, which AttMIM masks by too, in one pass of a shallow stem, or the patches' own
            embeddings where the model has none; `occlusion`, 65 encodings an image; `auto`: the local head where there
            is one, else occlusion.

    Returns:
        (B, K, rows, columns) float32.

    Raises:
        XLIPError: by patches, a model that has neither.
    """
    subject = adapted(model)
    mapped = with_maps(subject)
    if mapped is not None and by != "occlusion":
        return np.asarray(mapped.maps(pixels, pairs[:, 0]).numpy(), np.float32)
    cells = subject.encode_patches(pixels) if by == "patches" else occlusion(subject, pixels)
    return np.asarray((cells @ (pairs[:, 0] - pairs[:, 1]).T).permute(0, 3, 1, 2).numpy(), np.float32)


def has_local_maps(model: XLIPModel | ImageTextModel) -> bool:
    """Whether maps come from the model's local head, in logits; else by occlusion, each image on a scale of its own."""
    return with_maps(adapted(model)) is not None


def occlusion(model: XLIPModel | ImageTextModel, pixels: Tensor, cells: int = CELLS) -> Tensor:
    """`xlip.explain.occlusion.occlusion` of any model: (B, 1, S, S) in [0, 1] -> (B, cells, cells, E) float32."""
    subject = adapted(model)

    def encode(images: Array) -> Array:
        return np.asarray(subject.encode_pixels(torch.from_numpy(images).unsqueeze(1)).numpy(), np.float32)

    return torch.from_numpy(blurred_away(encode, pixels.squeeze(1).numpy(), cells))
