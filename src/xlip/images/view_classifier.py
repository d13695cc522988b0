"""Frontal, lateral or other: a network of some thousand weights that says it of a chest radiograph, with NumPy alone.

Made and measured by `bench/view_classifier.py`; its errors stand in `docs/data/view_classifier.json`.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np

from xlip.images.gray import Gray
from xlip.images.square import fit

CLASSES = ("frontal", "lateral", "other")
SIDE = 24
"""Pixels of the letterboxed image that the network sees, along each side."""
Floats = np.ndarray[Any, np.dtype[np.float32]]


def view_probabilities(image: Gray) -> dict[str, float]:
    """Probability of each of `CLASSES` for an image (H, W)."""
    return dict(zip(CLASSES, map(float, probabilities(inputs(image)[None], *_weights())[0]), strict=True))


def inputs(image: Gray) -> Floats:
    """What the network sees of an image (H, W): `SIDE` * `SIDE` values, mean 0 and variance 1."""
    small = fit(image, SIDE).astype(np.float32).ravel()
    result: Floats = (small - small.mean()) / max(float(small.std()), 1.0)
    return result


def probabilities(x: Floats, first: Floats, bias: Floats, second: Floats, out: Floats) -> Floats:
    """Softmax(relu(x @ first + bias) @ second + out) for inputs (N, SIDE * SIDE)."""
    scores = np.maximum(x @ first + bias, 0) @ second + out
    odds = np.exp(scores - scores.max(1, keepdims=True))
    result: Floats = odds / odds.sum(1, keepdims=True)
    return result


@cache
def _weights() -> tuple[Floats, ...]:
    with files("xlip.images").joinpath("view_classifier.npz").open("rb") as stream, np.load(stream) as found:
        return tuple(np.asarray(found[name], np.float32) for name in ("first", "bias", "second", "out"))
