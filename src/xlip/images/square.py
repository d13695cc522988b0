"""Grayscale arrays of any shape to squares, or smaller."""

from __future__ import annotations

import numpy as np
from PIL import Image

from xlip.errors import XLIPError
from xlip.images.gray import Gray

PREPROCESS = ("letterbox", "clip", "squash")
"""Ways to make an image square: pad then resize; crop the centre; ignore the aspect."""


def fit(image: Gray, size: int, preprocess: str = "letterbox") -> Gray:
    """Make an image (H, W) square, (size, size), by one of `PREPROCESS`; antialiased.

    The rule: docs/protocols.md, preprocessing.

    Raises:
        XLIPError: `preprocess` is none of `PREPROCESS`, or `size` is not positive.
    """
    if preprocess not in PREPROCESS:
        raise XLIPError(f"preprocess: expected one of {', '.join(PREPROCESS)}; got {preprocess!r}")
    if size < 1:
        raise XLIPError(f"image size: expected at least 1 pixel, got {size}")
    height, width = image.shape
    if (height, width) == (size, size):
        return image
    if preprocess == "squash":
        return _resize(image, size, size)
    if preprocess == "letterbox":
        side = max(height, width)
        return _resize(_centre(image, side), size, size)
    side = min(height, width)
    left, top = (width - side) / 2, (height - side) / 2
    return _resize(image, size, size, box=(left, top, left + side, top + side))


def shrink(image: Gray, short_side: int) -> Gray:
    """Shrink (H, W) until the shorter side is `short_side` pixels; keeps the aspect, never enlarges."""
    height, width = image.shape
    short = min(height, width)
    if short <= short_side:
        return image
    return _resize(image, round(height * short_side / short), round(width * short_side / short))


def stretched(image: Gray, aspect: float) -> Gray:
    """(H, W) enlarged along one side until width by height is `aspect`: undoes a squashed copy, loses no pixel."""
    height, width = image.shape
    if width / height < aspect:
        return _resize(image, height, round(height * aspect))
    return _resize(image, round(width / aspect), width)


def _centre(image: Gray, side: int) -> Gray:
    height, width = image.shape
    square = np.zeros((side, side), np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width] = image
    return square


def _resize(image: Gray, height: int, width: int, box: tuple[float, float, float, float] | None = None) -> Gray:
    # Lanczos in Pillow widens with the scale, so nothing aliases; reducing_gap averages first where the step is large.
    picture = Image.fromarray(image)
    return np.array(picture.resize((width, height), Image.Resampling.LANCZOS, box=box, reducing_gap=2.0))


def unfitted(
    box: tuple[float, float, float, float], shape: tuple[int, int], preprocess: str
) -> tuple[float, float, float, float]:
    """A box of the square that `fit` made, on the image that it was made from.

    Args:
        box: left, top, width, height as shares of the square.
        shape: (H, W) of the image.
        preprocess: how the square was made.

    Returns:
        Left, top, width, height in pixels of the image, without what lies outside of it.
    """
    height, width = shape
    side = max(shape) if preprocess == "letterbox" else min(shape)
    across, down = (width, height) if preprocess == "squash" else (side, side)
    x, y = (width - across) / 2, (height - down) / 2
    if preprocess == "letterbox":
        x, y = -((side - width) // 2), -((side - height) // 2)  # as whole pixels are padded
    left, right = (min(max(x + share * across, 0), width) for share in (box[0], box[0] + box[2]))
    top, bottom = (min(max(y + share * down, 0), height) for share in (box[1], box[1] + box[3]))
    return left, top, right - left, bottom - top
