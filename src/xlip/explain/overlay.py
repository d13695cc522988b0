"""A map over its image: coloured where it answers, the plain gray levels elsewhere."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from xlip.images.gray import Gray
from xlip.runtime.encoder import Array

OPACITY = 0.75
"""Of the colour at the upper end of the scale; the film stays visible below it."""
RGB = np.ndarray[Any, np.dtype[np.uint8]]


def painted(image: Gray, heat: Array, low: float, high: float) -> RGB:
    """A map over an image, red (a little above `low`) to yellow (`high` and more); at `low` and below nothing changes.

    Args:
        image: uint8 (H, W), the square that was explained, at any size.
        heat: (h, w), enlarged to the image between the centres of its cells.
        low: lower end of the scale.
        high: upper end.

    Returns:
        (H, W, 3).
    """
    gray = np.repeat(image[..., None], 3, axis=2).astype(np.float32)
    strength = strengths(enlarged(heat, image.shape), low, high)
    opaque = OPACITY * strength[..., None]
    return np.asarray(np.rint((1 - opaque) * gray + opaque * colours(strength)), np.uint8)


def strengths(heat: Array, low: float, high: float) -> Array:
    """Values of a map as shares of the way from `low` to `high`, in [0, 1]; 0 everywhere on a scale of no length."""
    return np.clip((heat - low) / (high - low), 0, 1) if high > low else np.zeros_like(heat)


def colours(strength: Array) -> Array:
    """(H, W) in [0, 1] -> (H, W, 3) in [0, 255]: red to yellow, which gray levels never are."""
    return np.stack([np.full_like(strength, 255), 255 * strength, np.zeros_like(strength)], -1)


def enlarged(heat: np.ndarray[Any, Any], shape: tuple[int, ...]) -> Array:
    """(h, w) -> `shape`, bilinear between the centres of the cells."""
    picture = Image.fromarray(np.asarray(heat, np.float32))
    return np.asarray(picture.resize((shape[1], shape[0]), Image.Resampling.BILINEAR))
