"""Where an image answers to words: what is lost when a part of the image is blurred. NumPy alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from xlip.runtime.encoder import Array

CELLS = 8
"""Rows and columns of a map."""
PASS = 64
"""Images that are encoded at a time: memory stays bounded whatever the number of cells."""


def occlusion(encode: Callable[[Array], Array], pixels: Array, cells: int = CELLS, side: int = 1) -> Array:
    """The answer less that to the image with one cell blurred (after Zeiler & Fergus 2014, who used gray squares).

    With `side` above 1 windows of `side` x `side` cells are blurred, one at each place where one fits, and a cell gets
    the sum of what its windows took, over `side`^2: cells at the rim have fewer windows, and get less.

    A patch token's own cosine is no map: blocks mix the patches, and on the demo's model it finds the finding no better
    than chance (`docs/log.md`). Blurred, not gray: a gray square in a lung looks like a consolidation.

    Args:
        encode: images (n, S, S) float32 -> (n, E), embeddings or the logits of scores; it is given each image
            (`cells` + 1 - `side`)^2 + 1 times.
        pixels: (B, S, S) float32, of any scale.
        cells: rows and columns.
        side: of a window, in cells.

    Returns:
        (B, cells, cells, E) float32.
    """
    encoded = np.concatenate([encode(part) for part in _passes(pixels, cells, side)])
    places = cells + 1 - side
    each = encoded.reshape(len(pixels), places**2 + 1, -1)
    lost = (each[:, :1] - each[:, 1:]).reshape(len(pixels), places, places, -1)
    found = np.zeros((len(pixels), cells, cells, lost.shape[-1]), np.float64)
    for down in range(side):
        for across in range(side):
            found[:, down : down + places, across : across + places] += lost
    return np.asarray(found / side**2, np.float32)


def _passes(pixels: Array, cells: int, side: int) -> Iterator[Array]:
    """Each image, then the same with one window blurred after the other, `PASS` images at a time."""
    waiting: list[Array] = []
    for image in pixels:
        for one in _variants(image, cells, side):
            waiting.append(one)
            if len(waiting) == PASS:
                yield np.stack(waiting)
                waiting = []
    if waiting:
        yield np.stack(waiting)


def _variants(image: Array, cells: int, side: int) -> Iterator[Array]:
    yield image
    blurred = box_mean(image, 2 * (image.shape[-1] // cells) + 1)
    bounds = np.linspace(0, image.shape[-1], cells + 1).round().astype(int)
    windows = list(zip(bounds, bounds[side:], strict=False))
    for top, bottom in windows:
        for left, right in windows:
            changed = image.copy()
            changed[top:bottom, left:right] = blurred[top:bottom, left:right]
            yield changed


def box_mean(image: Array, side: int) -> Array:
    """Mean of the pixels of (H, W) in a window of `side` (odd) pixels around each one, less what lies outside."""
    sums = np.pad(image.astype(np.float64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    (top, bottom), (left, right) = (_window(length, side) for length in image.shape)
    below, above = sums[bottom], sums[top]
    total = below[:, right] - above[:, right] - below[:, left] + above[:, left]
    return np.asarray(total / np.outer(bottom - top, right - left), np.float32)


def _window(length: int, side: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """First and last (exclusive) pixel of the window around each pixel of a row."""
    places = np.arange(length)
    return np.maximum(places - side // 2, 0), np.minimum(places + side // 2 + 1, length)
