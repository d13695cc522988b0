"""Which images make up each step: a pure function of seed and step count."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def batches(count: int, size: int, steps: int, seed: int, weights: Array | None = None) -> Iterator[Array]:
    """Rows (size,) of each step: permutations one after another, or weighted draws with replacement.

    Args:
        count: training images.
        size: images of a step; at most `count` are drawn.
        steps: number of batches.
        seed: of the order.
        weights: (count,) relative chance of each image; None: every image once an epoch.
    """
    rng, size = np.random.default_rng(seed), min(size, count)
    pool = np.zeros(0, np.int64)
    for _ in range(steps):
        if weights is not None:
            yield rng.choice(count, size, p=weights / weights.sum())
            continue
        while len(pool) < size:
            pool = np.concatenate([pool, rng.permutation(count)])
        yield pool[:size]
        pool = pool[size:]


def balancing_weights(targets: Array) -> Array:
    """(n,) the chance of each image by its rarest known label: targets (n, K) of 1, 0, -1.

    An image counts 1 / (how many images share its rarest state), so rare kinds come about as often as frequent ones
    (repeat factors after Gupta et al. 2019, arXiv:1908.03195, without their square root and threshold).
    """
    shares = [np.where(targets == state, (targets == state).sum(0).clip(min=1), np.inf) for state in (1, 0)]
    rarest = np.minimum(shares[0].min(1, initial=np.inf), shares[1].min(1, initial=np.inf))
    weights: Array = np.where(np.isfinite(rarest), 1 / rarest, 0.0)
    return weights if weights.any() else np.ones(len(targets))
