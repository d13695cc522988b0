"""Whether a decoded radiograph can be one: not nearly black, white or uniform, and not inverted."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any

import numpy as np
from PIL import Image

from xlip.images.gray import Gray

SAMPLES, SIDE = 32, 16
"""Pixels that are looked at along each side, and what they are averaged to."""
RANKS = [SAMPLES**2 // 100, SAMPLES**2 - 1 - SAMPLES**2 // 100]
"""Places of the first and the 99th percentile among the sorted samples."""
DARKEST, BRIGHTEST, FLATTEST = 40, 215, 24
"""Gray levels: the 99th percentile of a nearly black image, the first of a nearly white one, the range of a uniform
one."""
INVERTED = -1.0
"""Log odds of `upright` under which an image is called inverted; chosen by `bench/picture_checks.py`."""


def sampled(image: Gray | Image.Image) -> bytes:
    """`SAMPLES` x `SAMPLES` pixels on a grid over an image (H, W), row by row; costs the same at every size."""
    if isinstance(image, Image.Image):
        small = (
            image if image.size == (SAMPLES, SAMPLES) else image.resize((SAMPLES, SAMPLES), Image.Resampling.NEAREST)
        )
        return small.tobytes() if small.mode == "L" else small.convert("L").tobytes()
    return bytes(image[_grid(*image.shape)].tobytes())


@lru_cache(256)
def _grid(height: int, width: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Rows and columns of the samples, to index an image with."""
    rows, columns = (((2 * np.arange(SAMPLES) + 1) * side) // (2 * SAMPLES) for side in (height, width))
    return rows[:, None], columns[None, :]


def samples_of(pictures: Sequence[bytes]) -> Gray:
    """What `sampled` gave of N pictures as (N, `SAMPLES`, `SAMPLES`)."""
    return np.frombuffer(b"".join(pictures), np.uint8).reshape(-1, SAMPLES, SAMPLES)


def faults(pictures: Sequence[bytes]) -> list[str]:
    """What is wrong with each picture as a radiograph, by what `sampled` gave; '' where nothing is.

    Many pictures go into one call, because a call costs more than the arithmetic.
    """
    if not pictures:
        return []
    samples = samples_of(pictures)
    flat = samples.reshape(len(samples), -1)
    # Most pictures have enough dark and bright samples to be none of these: only the others are sorted.
    plain = ((flat <= DARKEST).sum(1) > RANKS[0]) & ((flat >= DARKEST + FLATTEST).sum(1) > RANKS[0])
    ends = np.tile(np.array([0, 255], np.uint8), (len(flat), 1))
    ends[~plain] = np.partition(flat[~plain], RANKS, axis=1)[:, RANKS]
    pairs = zip(ends.tolist(), upright(samples).tolist(), strict=True)
    return [_fault(low, high, odds) for (low, high), odds in pairs]


def _fault(low: int, high: int, odds: float) -> str:
    if high - low < FLATTEST:
        return f"picture is nearly uniform: gray levels {low} to {high}"
    if high < DARKEST:
        return f"picture is nearly black: 99 % of it is below {high + 1} of 255"
    if low > BRIGHTEST:
        return f"picture is nearly white: 99 % of it is above {low - 1} of 255"
    return "picture may be inverted: bone dark and air bright" if odds < INVERTED else ""


def upright(samples: Gray) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Log odds that air is dark and bone bright, of samples (N, `SAMPLES`, `SAMPLES`): negative where inverted.

    A linear model without a constant on the standardised 16 x 16 averages: inverting an image turns the sign, so the
    model cannot prefer one of the two by itself.
    """
    odds: np.ndarray[Any, np.dtype[np.float32]] = standardised(samples) @ _weights()
    return odds


def standardised(samples: Gray) -> np.ndarray[Any, np.dtype[np.float32]]:
    """The 256 averages of 2 x 2 samples of each picture (N, 256), mean 0 and variance 1."""
    rows = samples[:, ::2].astype(np.uint16) + samples[:, 1::2]
    means = ((rows[:, :, ::2] + rows[:, :, 1::2]).astype(np.float32) / 4).reshape(-1, SIDE * SIDE)
    spread = means.std(1, keepdims=True)
    made = (means - means.mean(1, keepdims=True)) / np.where(spread > 1e-3, spread, 1.0)
    result: np.ndarray[Any, np.dtype[np.float32]] = made.astype(np.float32)
    return result


@cache
def _weights() -> np.ndarray[Any, np.dtype[np.float32]]:
    with files("xlip.images").joinpath("upright.npz").open("rb") as stream, np.load(stream) as found:
        return np.asarray(found["upright"], np.float32)
