"""Writing that is part of the picture: names, dates and numbers that some machines and exports burn into it."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from xlip.images.gray import Gray

LONGEST = 1024
"""Larger images are halved until the longer side has at most this many pixels."""
GLYPHS = 5
"""Signs that make a line of writing; fewer are a side marker (`L`, `PA`)."""
CONTRAST, BRIGHT, DARK = 70, 190, 50
GAP, OVERLAP = 1.2, 0.6
"""Space between two signs, in heights; and how much of the smaller one's height both share."""
_HEIGHTS = (5, 48)
_STRIDE, _STEPS = 2, ((1, 30), (3, 60))
"""Of the quick look: every so many rows; pixels, and the gray levels that the edge of a stroke rises in so many."""


def text_lines(image: Gray) -> int:
    """Lines of writing in an image (H, W), bright or dark.

    Looks for rows of signs: at least `GLYPHS` small connected shapes of nearly one height on one base line, close to
    one another, of nearly one gray level that the picture around them does not have. It reads nothing, and misses
    handwriting, vertical lines and letters that touch.
    """
    step = -(-max(image.shape) // LONGEST)
    small = np.asarray(Image.fromarray(image).reduce(step)) if step > 1 else image
    if min(small.shape) < 2 * _HEIGHTS[0] or not _may_hold_writing(small):
        return 0
    around = _surroundings(small)
    values = small.astype(np.int16)
    bright = (values > BRIGHT) & (values - around > CONTRAST)
    dark = (values < DARK) & (around - values > CONTRAST)
    return sum(_lines(_signs(mask)) for mask in (bright, dark) if _is_crossed(mask))


def _may_hold_writing(image: Gray) -> bool:
    """Whether two rows cross as many steep edges as a line has signs: one at least for each; few radiographs do.

    Costs a small part of the search itself, which most pictures are spared.
    """
    rows = image[::_STRIDE]
    steep = np.zeros((len(rows), image.shape[1] - 1), bool)
    for lag, levels in _STEPS:
        risen = rows[:, lag:] > np.minimum(rows[:, :-lag], 255 - levels) + np.uint8(levels)
        steep[:, : risen.shape[1]] |= risen
    if np.count_nonzero(steep) < 2 * GLYPHS:
        return False
    return int(np.count_nonzero(np.add.reduce(steep, axis=1, dtype=np.uint16) >= GLYPHS)) > 1


def _is_crossed(mask: np.ndarray[Any, Any]) -> bool:
    """Whether some row crosses as many shapes as a line has signs. Finding the shapes costs ten times as much."""
    entered = np.count_nonzero(mask[:, 1:] & ~mask[:, :-1], axis=1) + mask[:, 0]
    return bool((entered >= GLYPHS).any())


def _surroundings(image: Gray) -> np.ndarray[Any, Any]:
    """The mean of the neighbourhood, 33 pixels wide."""
    from scipy.ndimage import uniform_filter

    return np.asarray(uniform_filter(image.astype(np.int16), 33, mode="nearest"))


def _signs(mask: np.ndarray[Any, Any]) -> list[tuple[int, int, int, int]]:
    """Top, bottom, left and right of the connected shapes that may be signs."""
    from scipy.ndimage import find_objects, label

    labelled, _ = label(mask, np.ones((3, 3), int))
    found = []
    for number, (rows, columns) in enumerate(find_objects(labelled), 1):
        height, width = rows.stop - rows.start, columns.stop - columns.start
        if not (_HEIGHTS[0] <= height <= _HEIGHTS[1] and 1 <= width <= 1.4 * height):
            continue
        filled = np.count_nonzero(labelled[rows, columns] == number) / (height * width)
        if 0.18 <= filled <= 0.9 or width <= height / 3:
            found.append((rows.start, rows.stop, columns.start, columns.stop))
    return found


def _lines(signs: list[tuple[int, int, int, int]]) -> int:
    """Rows of at least `GLYPHS` signs: each next one to the right, near, at the same height and of similar size."""
    left = sorted(signs, key=lambda sign: sign[2])
    lines = 0
    while left:
        chain = [left.pop(0)]
        tallest = chain[0][1] - chain[0][0]
        for sign in list(left):
            top, bottom, _, right = chain[-1]
            heights = sorted((bottom - top, sign[1] - sign[0]))
            near = -2 <= sign[2] - right <= GAP * tallest
            level = min(bottom, sign[1]) - max(top, sign[0]) >= OVERLAP * heights[0]
            if near and level and heights[1] <= 2.2 * heights[0]:
                chain.append(sign)
                left.remove(sign)
                tallest = max(tallest, heights[1])
        lines += len(chain) >= GLYPHS
    return lines
