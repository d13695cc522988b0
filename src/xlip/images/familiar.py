"""How much of a picture is like no frontal chest radiograph: what the commonest patterns of such films leave over.

The patterns are the first principal components of 24 x 24 pixels of some thousand public films and phantoms, none of
which shows a single film; `bench/quality.py --fit` makes the file.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import numpy as np

from xlip.images.gray import Gray
from xlip.images.view_classifier import Floats, inputs


def strangeness(image: Gray) -> float:
    """Share of the variance of an image (H, W) that the patterns do not explain: 0 to about 1."""
    return float(left_over(inputs(image)[None], *_patterns())[0])


def left_over(x: Floats, mean: Floats, patterns: Floats) -> Floats:
    """Mean square of (N, D) inputs less their mean (D,) and their part along orthonormal patterns (K, D): (N,)."""
    apart = x - mean
    along = apart @ patterns.T
    rest: Floats = ((apart**2).sum(1) - (along**2).sum(1)) / x.shape[1]
    return rest


@cache
def _patterns() -> tuple[Floats, Floats]:
    with files("xlip.images").joinpath("familiar.npz").open("rb") as stream, np.load(stream) as found:
        return found["mean"].astype(np.float32), found["patterns"].astype(np.float32)
