"""What every decoder of radiographs shares: the grayscale array, its limits and its two usual faults."""

from __future__ import annotations

from typing import Any

import numpy as np

from xlip.errors import XLIPError

Gray = np.ndarray[Any, np.dtype[np.uint8]]
"""A grayscale image: uint8 (H, W), black is 0."""
MAX_PIXELS = 100_000_000
"""A larger image is taken for a decompression bomb."""


def bomb(name: str, got: str) -> XLIPError:
    """The error for an image that is too large to decode."""
    return XLIPError(f"{name}: expected at most {MAX_PIXELS // 10**6} million pixels, {got}: a decompression bomb?")


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


def to_bytes(share: np.ndarray[Any, Any]) -> Gray:
    """Shares in [0, 1] to uint8; what is not a number is black."""
    gray: Gray = np.round(np.nan_to_num(share) * 255).astype(np.uint8)
    return gray
