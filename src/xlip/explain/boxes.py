"""From a map to boxes around what it colours."""

from __future__ import annotations

from typing import Any

import numpy as np

from xlip.runtime.encoder import Array
from xlip.study.record import Box

SHARE = 0.5
"""Of a map's peak above the scale's lower end: what is at least that high is inside a box."""


def boxes(heat: Array, low: float, name: str, share: float = SHARE) -> tuple[Box, ...]:
    """A box around each connected part of a map that reaches `share` of its peak, the hottest part first.

    Args:
        heat: (h, w).
        low: lower end of the scale; a map that never exceeds it has no box.
        name: what the boxes are of.
        share: of the way from `low` to the peak.

    Returns:
        As shares of the map's width and height.
    """
    peak = float(heat.max())
    if not peak > low:
        return ()
    parts = _connected(heat >= low + share * (peak - low))
    parts.sort(key=lambda cells: (-max(float(heat[cell]) for cell in cells), min(cells)))
    height, width = heat.shape
    made = []
    for cells in parts:
        rows, columns = zip(*cells, strict=True)
        top, left = min(rows), min(columns)
        across, down = max(columns) + 1 - left, max(rows) + 1 - top
        made.append(Box(name, left / width, top / height, across / width, down / height))
    return tuple(made)


def _connected(inside: np.ndarray[Any, Any]) -> list[list[tuple[int, int]]]:
    """The cells of each part of (h, w) bool, those that touch at a corner together."""
    waiting = {(int(row), int(column)) for row, column in np.argwhere(inside)}
    parts = []
    while waiting:
        part = [waiting.pop()]
        for row, column in part:  # it grows while it is walked
            near = {(row + down, column + across) for down in (-1, 0, 1) for across in (-1, 0, 1)} & waiting
            waiting -= near
            part += near
        parts.append(part)
    return parts
