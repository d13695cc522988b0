"""Phrase grounding: how well a heat-map falls on the region that a radiologist drew (boxes or masks)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from xlip.errors import XLIPError

Array = np.ndarray[Any, Any]


SIZES = {"small": 0.02, "medium": 0.1, "large": 1.0}
"""Size of a region -> the share of the image below which it lies (large: up to 1): 2 % is a square of a seventh of the
side, 10 % one of a third."""
CANDIDATES = 64
"""Thresholds that are tried: quantiles of the heat of all validation maps."""


def size_of(region: Array) -> str:
    """Which of `SIZES` a region (H, W) bool is."""
    share = float(region.mean())
    return next((name for name, bound in SIZES.items() if share < bound), "large")


def choose_heat_threshold(maps: Sequence[Array], regions: Sequence[Array]) -> float:
    """The threshold with the largest mean IoU; of several the highest. To be chosen on validation, used on test.

    Args:
        maps: of shape (H, W), finite, all on one scale.
        regions: (H, W) bool, one per map.

    Raises:
        XLIPError: no map, or as `pointing_game`.
    """
    if not maps:
        raise XLIPError("grounding: expected a validation region to choose a threshold on, got none")
    for heat, region in zip(maps, regions, strict=True):
        _check(heat, region)
    pooled = np.concatenate([heat.ravel()[:: max(1, heat.size // 1024)] for heat in maps])
    tried = np.unique(np.quantile(pooled, np.linspace(0, 1, CANDIDATES)))[::-1]
    means = [
        np.mean([iou(heat >= limit, region) for heat, region in zip(maps, regions, strict=True)]) for limit in tried
    ]
    return float(tried[int(np.argmax(means))])


def pointing_game(heat: Array, region: Array) -> float:
    """1 if the hottest pixel lies in the region, else 0 (Zhang et al. 2016, without a margin around the region).

    Where several pixels are equally hot, the share of them that lies in it.

    Args:
        heat: (H, W) finite, of any scale.
        region: (H, W) bool.

    Raises:
        XLIPError: shapes that differ, a heat that is not finite, or an empty region.
    """
    _check(heat, region)
    return float(region[heat == heat.max()].mean())


def iou(predicted: Array, region: Array) -> float:
    """Intersection over union of two regions (H, W) bool.

    Raises:
        XLIPError: shapes that differ, or an empty region; an empty prediction is no fault, it gives 0.
    """
    _check(predicted, region)
    return float((predicted & region).sum() / (predicted | region).sum())


def iou_at(heat: Array, region: Array, thresholds: Iterable[float]) -> dict[float, float]:
    """Threshold -> IoU of the region with the pixels at least that hot; published tables average several thresholds.

    Raises:
        XLIPError: as `pointing_game`.
    """
    _check(heat, region)
    return {threshold: iou(heat >= threshold, region) for threshold in thresholds}


def cnr(heat: Array, region: Array, *, absolute: bool = False) -> float:
    """Contrast-to-noise ratio: (mean inside - mean outside) / sqrt(variance inside + variance outside).

    Boecking et al. 2022 (BioViL) print its absolute value, which rates a map highly that is hot everywhere but in the
    region; so the sign is kept here unless `absolute` asks for the published figure. NaN where the region is the whole
    image; 0 for a flat map; infinite where both parts are flat and differ.

    Args:
        heat: (H, W) finite, of any scale.
        region: (H, W) bool.
        absolute: drop the sign.

    Raises:
        XLIPError: as `pointing_game`.
    """
    _check(heat, region)
    if region.all():
        return float("nan")
    inside, outside = (heat[part].astype(np.float64) for part in (region, ~region))
    contrast = float(inside.mean() - outside.mean())
    contrast = abs(contrast) if absolute else contrast
    noise = float(np.sqrt(inside.var() + outside.var()))
    if noise == 0:
        return float(np.copysign(np.inf, contrast)) if contrast else 0.0
    return contrast / noise


def box_region(boxes: Iterable[tuple[float, float, float, float]], shape: tuple[int, int]) -> Array:
    """The pixels (H, W) whose centre lies in one of the boxes (x, y, width, height), given as shares of the image."""
    height, width = shape
    y, x = (np.arange(height) + 0.5) / height, (np.arange(width) + 0.5) / width
    region = np.zeros(shape, bool)
    for left, top, across, down in boxes:
        rows = (y >= top) & (y < top + down)
        region |= rows[:, None] & ((x >= left) & (x < left + across))[None]
    return region


def _check(map_: Array, region: Array) -> None:
    if map_.shape != region.shape:
        raise XLIPError(f"grounding: a map of shape {map_.shape} on a region of shape {region.shape}")
    if not region.any():
        raise XLIPError("grounding: the region is empty; expected at least one pixel")
    if not np.isfinite(map_).all():
        raise XLIPError(f"grounding: {int((~np.isfinite(map_)).sum())} of {map_.size} heat values are not finite")
