"""Whether a decoded radiograph can be one: not nearly black, white or uniform, and not inverted."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
from PIL import Image

from xlip.images.gray import Gray

SAMPLES, SIDE = 32, 16
"""Pixels that are looked at along each side, and what they are averaged to."""
DARKEST, BRIGHTEST, FLATTEST = 40, 215, 24
"""Gray levels: the 99th percentile of a nearly black image, the first of a nearly white one, the range of a uniform
one."""
INVERTED = -1.0
"""Log odds of `upright` under which an image is called inverted; chosen by `bench/picture_checks.py`."""


def sampled(image: Gray | Image.Image) -> Gray:
    """`SAMPLES` x `SAMPLES` pixels on a grid over an image (H, W), which costs the same at every size."""
    if isinstance(image, Image.Image):
        return np.asarray(image.resize((SAMPLES, SAMPLES), Image.Resampling.NEAREST))
    rows, columns = (((2 * np.arange(SAMPLES) + 1) * side) // (2 * SAMPLES) for side in image.shape)
    found: Gray = image[np.ix_(rows, columns)]
    return found


def fault(samples: Gray) -> str:
    """What is wrong with an image as a radiograph, by its samples; '' where nothing is."""
    ordered = np.sort(samples, axis=None)
    low, high = int(ordered[ordered.size // 100]), int(ordered[-1 - ordered.size // 100])
    if high - low < FLATTEST:
        return f"picture is nearly uniform: gray levels {low} to {high}"
    if high < DARKEST:
        return f"picture is nearly black: 99 % of it is below {high + 1} of 255"
    if low > BRIGHTEST:
        return f"picture is nearly white: 99 % of it is above {low - 1} of 255"
    return "picture may be inverted: bone dark and air bright" if upright(samples) < INVERTED else ""


def upright(samples: Gray) -> float:
    """Log odds that air is dark and bone bright: negative for an inverted radiograph.

    A linear model without a constant on the standardised 16 x 16 average: inverting an image turns the sign, so the
    model cannot prefer one of the two by itself.
    """
    return float(_weights() @ standardised(samples))


def standardised(samples: Gray) -> np.ndarray[Any, np.dtype[np.float32]]:
    """The 256 averages of 2 x 2 samples, mean 0 and variance 1."""
    step = SAMPLES // SIDE
    means = samples.reshape(SIDE, step, SIDE, step).mean((1, 3), dtype=np.float32).ravel()
    spread = means.std()
    result: np.ndarray[Any, np.dtype[np.float32]] = (means - means.mean()) / (spread if spread > 1e-3 else 1.0)
    return result


@cache
def _weights() -> np.ndarray[Any, np.dtype[np.float32]]:
    with files("xlip.images").joinpath("upright.npz").open("rb") as stream, np.load(stream) as found:
        return np.asarray(found["upright"], np.float32)
