"""What every decoder of radiographs shares: the grayscale array, its limits and its two usual faults."""

from __future__ import annotations

from typing import Any

import numpy as np

from xlip.errors import XLIPError

Gray = np.ndarray[Any, np.dtype[np.uint8]]
"""A grayscale image: uint8 (H, W), black is 0."""
MAX_PIXELS = 100_000_000
"""A larger image is taken for a decompression bomb."""

OUTLIERS = "pixels far outside the others: clipped, so that they do not darken the rest"
"""The notice for values that `central_range` leaves out."""


def bomb(name: str, got: str, most_pixels: int = MAX_PIXELS) -> XLIPError:
    """The error for an image that is too large to decode."""
    return XLIPError(f"{name}: expected at most {most_pixels / 10**6:g} million pixels, {got}: a decompression bomb?")


def damaged(name: str, error: BaseException) -> XLIPError:
    """The error for a file whose pixels cannot be had."""
    reason = " ".join(str(error).split()) or type(error).__name__
    return XLIPError(f"{name}: not a readable image: damaged or cut short ({reason}); copy or download it again")


def stretch(values: np.ndarray[Any, Any], low: float | None = None, high: float | None = None) -> np.ndarray[Any, Any]:
    """Values to [0, 1] by the range that is stored (or given); a constant becomes 0."""
    low = float(values.min()) if low is None else low
    high = float(values.max()) if high is None else high
    if not high > low:
        return np.zeros_like(values, np.float32)
    return np.clip((values - low) / (high - low), 0, 1)


def central_range(values: np.ndarray[Any, Any]) -> tuple[float, float]:
    """Least and largest value; without the outermost where these lie far from all others.

    A marker of 65535 among values of 12 bits would leave the rest 13 gray levels. The range of all but two thousandths
    of the values is taken where it is less than a quarter of the whole, with half of its own size as a margin.
    """
    low, high = float(values.min()), float(values.max())
    if not high > low:
        return low, high
    inner_low, inner_high = _percentiles(values, (0.1, 99.9))
    if not 0 < inner_high - inner_low < (high - low) / 4:
        return low, high
    margin = (inner_high - inner_low) / 2
    return max(low, inner_low - margin), min(high, inner_high + margin)


def _percentiles(values: np.ndarray[Any, Any], percent: tuple[float, ...]) -> list[float]:
    """As `np.percentile`; integers of up to 16 bits are counted instead of sorted, in a fifth of the time."""
    if values.dtype.kind not in "ui" or values.dtype.itemsize > 2:
        return [float(value) for value in np.percentile(values, percent)]
    lowest = int(np.iinfo(values.dtype).min)
    below = np.cumsum(np.bincount(values.ravel().astype(np.int32) - lowest))
    found = []
    for share in percent:
        place = share / 100 * (values.size - 1)
        ends = np.searchsorted(below, (int(place), min(int(place) + 1, values.size - 1)), "right") + lowest
        found.append(float(ends[0] + (ends[1] - ends[0]) * (place - int(place))))
    return found


def to_bytes(share: np.ndarray[Any, Any]) -> Gray:
    """Shares in [0, 1] to uint8; what is not a number is black."""
    scaled = share * 255.0
    if not np.isfinite(scaled.sum()):
        scaled = np.nan_to_num(share) * 255.0
    gray: Gray = np.rint(scaled, out=scaled).astype(np.uint8)
    return gray
