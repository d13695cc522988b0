"""How likely each of the words is of each image: the zero-shot score, with the share of the map that the model adds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from xlip.explain.asked import Asked
from xlip.images.gray import Gray
from xlip.runtime.encoder import Array, Encoder
from xlip.runtime.scores import kind_scores, map_answers, map_queries


class Scored(NamedTuple):
    """What one pass over some images says."""

    images: Array
    """(n, E), L2-normalised."""
    scores: np.ndarray[tuple[int, int], np.dtype[np.float64]]
    """(n, K) in [0, 1]."""
    maps: Array | None
    """(n, K, h, w), logits, where they were needed."""


def scored(encoder: Encoder, squares: Gray, asked: Sequence[Asked], *, maps: bool = False) -> Scored:
    """Embeddings and scores, and with `maps` the model's own response.

    Args:
        encoder: any; with a map of its own where `maps` are wanted.
        squares: uint8 (n, S, S).
        asked: K of them.
        maps: whether they are wanted.
    """
    images, share = encoder.encode_squares(squares), encoder.local_share
    pairs = np.stack([one.pair for one in asked])
    queries = map_queries(pairs) if share else pairs[:, 0]
    local = encoder.maps(squares, queries) if maps or share else None
    added = share * map_answers(local) if share and local is not None else 0.0
    shown = None if local is None else local[:, : len(asked)]
    return Scored(images, kind_scores(images, pairs, encoder.scale, added), shown)
