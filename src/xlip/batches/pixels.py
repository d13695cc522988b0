"""From an image in any form to what a model sees: one way for training, evaluation, fine-tuning and users."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from xlip.errors import XLIPError
from xlip.files import reading
from xlip.images.files import decode, to_gray
from xlip.images.gray import Gray
from xlip.images.square import fit

ImageLike = str | os.PathLike[str] | bytes | np.ndarray[Any, Any] | Any
"""A path, encoded bytes, a PIL image, or an array (H, W), uint8 or float in [0, 1]."""


def square(image: ImageLike, size: int, preprocess: str) -> Gray:
    """One image as uint8 (size, size); see `fit` and `gray`.

    Raises:
        XLIPError: it cannot be read, or is no grayscale image.
    """
    return fit(gray(image), size, preprocess)


def squares(images: Sequence[ImageLike], size: int, preprocess: str) -> Gray:
    """`square` of each: uint8 (n, size, size)."""
    made = np.zeros((len(images), size, size), np.uint8)
    for row, image in enumerate(images):
        made[row] = square(image, size, preprocess)
    return made


def as_pixels(squares: Gray) -> Tensor:
    """Uint8 (n, S, S) -> float (n, 1, S, S) in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(squares)).unsqueeze(1).float() / 255


def several_images(images: ImageLike | Iterable[ImageLike]) -> list[ImageLike]:
    """One image, or several in a list, generator, column of a table or array (n, H, W), as a list."""
    if isinstance(images, str | os.PathLike | bytes) or hasattr(images, "convert"):
        return [images]
    if isinstance(images, np.ndarray | Tensor) and images.dtype != object:
        if images.ndim == 4 and 1 in (images.shape[1], images.shape[-1]):
            return list(images)
        colour = images.ndim == 3 and images.shape[-1] in (3, 4)
        return list(images) if images.ndim == 3 and 1 not in images.shape and not colour else [images]
    return list(images) if isinstance(images, Iterable) else [images]


def gray(image: ImageLike) -> np.ndarray[Any, Any]:
    """Any accepted image as uint8 (H, W).

    Raises:
        XLIPError: an array that is not (H, W), or floats outside [0, 1].
    """
    if isinstance(image, str | os.PathLike | bytes):
        return decode(image)
    if not isinstance(image, np.ndarray | Tensor):
        if not hasattr(image, "convert"):
            raise XLIPError(f"expected a path, a PIL image or an array (H, W), got {type(image).__name__}")
        with reading("a PIL image"):
            return to_gray(image)
    array = np.asarray(image.cpu().float() if isinstance(image, Tensor) and image.is_floating_point() else image)
    if array.ndim == 3 and 1 in (array.shape[0], array.shape[-1]):
        array = array.squeeze(0 if array.shape[0] == 1 else -1)
    if array.ndim != 2:
        raise XLIPError(f"expected a grayscale image (H, W), got shape {array.shape}")
    if array.dtype == np.uint8:
        return array
    if not np.isfinite(array).all() or array.min() < 0 or array.max() > 1:
        raise XLIPError(f"expected uint8, or floats in [0, 1]; got {array.dtype} in [{array.min()}, {array.max()}]")
    return np.round(array * 255).astype(np.uint8)
