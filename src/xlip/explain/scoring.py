"""How likely each of the words is of each image: the zero-shot score, with the share of the map that the model adds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from xlip.explain.asked import Asked
from xlip.images.gray import Gray
from xlip.runtime.encoder import Array, Encoder
from xlip.runtime.scores import kind_logits, map_answers, map_queries, probabilities


class Scored(NamedTuple):
    """What one pass over some images says."""

    images: Array
    """(n, E), L2-normalised."""
    scores: np.ndarray[tuple[int, int], np.dtype[np.float64]]
    """(n, K) in [0, 1]."""
    maps: Array | None
    """(n, K, h, w), logits, where they were needed."""

    def rows(self, chosen: Sequence[int]) -> Scored:
        """What is said of some of the images."""
        some = np.array(chosen, np.intp)
        return Scored(self.images[some], self.scores[some], None if self.maps is None else self.maps[some])


def scored(
    encoder: Encoder, squares: Gray, asked: Sequence[Asked], *, maps: bool = False, known: Array | None = None
) -> Scored:
    """Embeddings and scores, and with `maps` the model's own response.

    Args:
        encoder: any; with a map of its own where `maps` are wanted.
        squares: uint8 (n, S, S).
        asked: K of them.
        maps: whether they are wanted.
        known: (n, E), the embeddings of these images, where they were computed before: the tower then rests.
    """
    images, logits, local = _answered(encoder, squares, asked, maps=maps, known=known)
    return Scored(images, probabilities(logits), local)


def score_logits(encoder: Encoder, squares: Gray, asked: Sequence[Asked]) -> Array:
    """The logits of `scored`, (n, K): with the share of the map that the model adds."""
    return np.asarray(_answered(encoder, squares, asked, maps=False)[1], np.float32)


def _answered(
    encoder: Encoder, squares: Gray, asked: Sequence[Asked], *, maps: bool, known: Array | None = None
) -> tuple[Array, np.ndarray[Any, np.dtype[np.float64]], Array | None]:
    """Embeddings, logits, and maps where they were needed; one pass."""
    share, pairs = encoder.local_share, np.stack([one.pair for one in asked])
    if not (maps or share):
        images = encoder.encode_squares(squares) if known is None else known
        return images, kind_logits(images, pairs, encoder.scale), None
    queries = map_queries(pairs) if share else pairs[:, 0]
    images, local = (
        encoder.encode_and_map(squares, queries) if known is None else (known, encoder.maps(squares, queries))
    )
    added = share * map_answers(local) if share else 0.0
    return images, kind_logits(images, pairs, encoder.scale, added), local[:, : len(asked)]
