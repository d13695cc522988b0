"""Where the findings of an image are, as its masks and boxes say."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from xlip.images.files import decode
from xlip.images.square import fit
from xlip.metrics.grounding import box_region
from xlip.study.record import Box, Study

Array = np.ndarray[Any, Any]
SIDE = 64
"""Pixels of `finding_region`: several for each patch of a grid that a model for laptops has."""


def kind_regions(
    masks: Mapping[str, bytes], boxes: Sequence[Box], shape: Callable[[], tuple[int, ...]]
) -> dict[str, Array]:
    """The region of every kind as bool, by its mask or, where it has none, by all of its boxes together.

    Args:
        masks: kind -> PNG, each of a shape of its own.
        boxes: of the image, as shares of it.
        shape: gives the (H, W) that boxes are drawn on; called only where there are any.
    """
    regions: dict[str, Array] = {kind: decode(png) >= 128 for kind, png in masks.items()}
    boxed = sorted({box.kind for box in boxes} - set(regions))
    height, width = shape()[:2] if boxed else (0, 0)
    for kind in boxed:
        sides = [(box.x, box.y, box.width, box.height) for box in boxes if box.kind == kind]
        regions[kind] = box_region(sides, (height, width))
    return regions


def finding_region(study: Study, preprocess: str) -> Array:
    """The pixels of any finding as (SIDE, SIDE) uint8, 255 inside, made square as the image is; all 0 where nobody
    said where they are.
    """
    found = np.zeros((SIDE, SIDE), np.uint8)
    image = study.image
    for region in kind_regions(study.masks, study.boxes, lambda: decode(image or b"").shape).values():
        found = np.maximum(found, fit(region.astype(np.uint8) * 255, SIDE, preprocess))
    return found
