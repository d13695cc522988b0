"""From places on a model's square back to places on the film: the inverse of `xlip.images.square.fit`."""

from __future__ import annotations

from typing import Any

import numpy as np

from xlip.errors import XLIPError
from xlip.images.square import PREPROCESS
from xlip.runtime.encoder import Array

Floats = np.ndarray[Any, np.dtype[np.float64]]


def square_box(rows: int, columns: int, preprocess: str) -> tuple[float, float, float, float]:
    """Where the square lies on a film: top, left, height and width in pixels of the film.

    A letterboxed square reaches beyond the film, a clipped one does not cover it.

    Raises:
        XLIPError: `preprocess` is none of `PREPROCESS`.
    """
    if preprocess not in PREPROCESS:
        raise XLIPError(f"preprocess: expected one of {', '.join(PREPROCESS)}; got {preprocess!r}")
    if preprocess == "squash":
        return 0.0, 0.0, float(rows), float(columns)
    if preprocess == "clip":
        side = min(rows, columns)
        return (rows - side) / 2, (columns - side) / 2, float(side), float(side)
    side = max(rows, columns)
    return float(-((side - rows) // 2)), float(-((side - columns) // 2)), float(side), float(side)


def on_film(heat: Array, shape: tuple[int, ...], preprocess: str) -> Array:
    """The value of a map at the centre of each pixel of the film, bilinear between the centres of the map's cells.

    Args:
        heat: (h, w), of the whole square.
        shape: (rows, columns) of the film.
        preprocess: how the film became the square.

    Returns:
        (rows, columns); 0 where the square does not reach, of which the model saw nothing.
    """
    rows, columns = shape
    top, left, height, width = square_box(rows, columns, preprocess)
    down: Floats = (np.arange(rows, dtype=np.float64) + 0.5 - top) / height
    across: Floats = (np.arange(columns, dtype=np.float64) + 0.5 - left) / width
    wide = _between(np.asarray(heat, np.float64), down)
    found = _between(wide.T, across).T
    seen = ((down >= 0) & (down <= 1))[:, None] & ((across >= 0) & (across <= 1))[None]
    return np.where(seen, found, 0).astype(np.float32)


def _between(values: Floats, places: Floats) -> Floats:
    """Rows of (n, ...) at places in [0, 1] of its height; beyond the centres of the outer rows, these rows."""
    count = len(values)
    position = np.clip(places * count - 0.5, 0, count - 1)
    before = np.floor(position).astype(int)
    after = np.minimum(before + 1, count - 1)
    share = (position - before)[:, None]
    return np.asarray(values[before] * (1 - share) + values[after] * share)
