"""Where an image answers to words: the response of each patch to a direction of the joint space."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from xlip.evaluate.adapter import ImageTextModel, adapted
from xlip.models.xlip import XLIPModel


def patch_response(model: XLIPModel | ImageTextModel, pixels: Tensor, direction: Tensor) -> np.ndarray[Any, Any]:
    """Each patch's product with a direction: above 0 it speaks for the finding, below 0 against it.

    The direction is a kind's positive less its negative prompt embedding, so a value is the difference of the patch's
    cosines with the two.

    Args:
        model: any model of images and texts that encodes patches.
        pixels: (B, 1, S, S) in [0, 1].
        direction: (E,).

    Returns:
        (B, rows, columns) float32.

    Raises:
        XLIPError: the model has no patches.
    """
    patches = adapted(model).encode_patches(pixels)
    return (patches @ direction.to(patches)).numpy()
