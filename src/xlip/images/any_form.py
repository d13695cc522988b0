"""From an image in any form to a grayscale square: one way for training, evaluation, fine-tuning and users.

Tensors are recognised by their methods, so that nothing here needs torch.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

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


def several_images(images: ImageLike | Iterable[ImageLike]) -> list[ImageLike]:
    """One image, or several in a list, generator, column of a table or array (n, H, W), as a list."""
    if isinstance(images, str | os.PathLike | bytes) or hasattr(images, "convert"):
        return [images]
    given: Any = images
    if _is_array(given) and given.dtype != object:
        if given.ndim == 4 and 1 in (given.shape[1], given.shape[-1]):
            return list(given)
        colour = given.ndim == 3 and given.shape[-1] in (3, 4)
        return list(given) if given.ndim == 3 and 1 not in given.shape and not colour else [given]
    return list(given) if isinstance(given, Iterable) else [given]


def gray(image: ImageLike) -> np.ndarray[Any, Any]:
    """Any accepted image as uint8 (H, W).

    Raises:
        XLIPError: an array that is not (H, W), or floats outside [0, 1].
    """
    if isinstance(image, str | os.PathLike | bytes):
        return decode(image)
    given: Any = image
    if not _is_array(given):
        if not hasattr(given, "convert"):
            raise XLIPError(f"expected a path, a PIL image or an array (H, W), got {type(given).__name__}")
        with reading("a PIL image"):
            return to_gray(given)
    if not isinstance(given, np.ndarray):  # a tensor: NumPy knows no bfloat16, and no other device
        given = given.float().cpu() if given.is_floating_point() else given.cpu()
    array = np.asarray(given)
    if array.ndim == 3 and 1 in (array.shape[0], array.shape[-1]):
        array = array.squeeze(0 if array.shape[0] == 1 else -1)
    if array.ndim != 2 or not array.size:
        raise XLIPError(f"expected a grayscale image (H, W), got shape {array.shape}")
    if array.dtype == np.uint8:
        return array
    if not np.isfinite(array).all() or array.min() < 0 or array.max() > 1:
        raise XLIPError(f"expected uint8, or floats in [0, 1]; got {array.dtype} in [{array.min()}, {array.max()}]")
    return np.round(array * 255).astype(np.uint8)


def _is_array(image: Any) -> bool:
    return isinstance(image, np.ndarray) or hasattr(image, "is_floating_point")
