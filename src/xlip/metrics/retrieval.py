"""Retrieval: where the right items stand when all are sorted by similarity to a query."""

from __future__ import annotations

from typing import Any

import numpy as np

from xlip.errors import XLIPError

Array = np.ndarray[Any, Any]


def first_ranks(similarity: Array, relevant: Array) -> Array:
    """Rank of the best relevant item of each query, from 1.

    Of items that are equally similar, the irrelevant ones stand first: a model that scores everything alike gains
    nothing from the order of the file.

    Args:
        similarity: (Q, C) of every query to every item, finite.
        relevant: (Q, C) bool, with at least one relevant item a row.

    Returns:
        (Q,) int64.

    Raises:
        XLIPError: a similarity is not finite, or a query has nothing to find.
    """
    _check(similarity, relevant)
    if not relevant.any(1).all():
        query = int(np.flatnonzero(~relevant.any(1))[0])
        raise XLIPError(f"retrieval: query {query} has no relevant item; leave it out")
    best = np.where(relevant, similarity, -np.inf).max(1, initial=-np.inf)
    ranks: Array = 1 + ((similarity >= best[:, None]) & ~relevant).sum(1)
    return ranks


def median_rank(ranks: Array) -> float:
    """Median of the ranks (Q,) of `first_ranks`; NaN without a query."""
    return float(np.median(ranks)) if len(ranks) else float("nan")


def precision_at(similarity: Array, relevant: Array, k: int) -> float:
    """P@k: mean over the queries of the share of relevant items among the k most similar ones, see `taken`.

    With fewer than k items, all of them are taken. NaN without a query or an item.

    Args:
        similarity: (Q, C) of every query to every item, finite.
        relevant: (Q, C) bool; a row may be without a relevant item.
        k: at least 1.

    Raises:
        XLIPError: a similarity is not finite, or k is below 1.
    """
    _check(similarity, relevant)
    if not similarity.size:
        return float("nan")
    return float((taken(similarity, k) * relevant).sum(1).mean())


def taken(similarity: Array, k: int) -> Array:
    """(Q, C) the share that each item has among the k most similar ones of a query; a row sums to 1.

    Where equally similar items straddle place k, they share what is left: what a random order of them would give on
    average.

    Args:
        similarity: (Q, C) of every query to every item, finite; C at least 1.
        k: at least 1; with fewer items, all of them are taken.

    Raises:
        XLIPError: k is below 1.
    """
    if k < 1:
        raise XLIPError(f"precision at k: expected k of at least 1, got {k}")
    items = similarity.shape[1]
    count = min(k, items)
    bound = np.partition(similarity, items - count, axis=1)[:, items - count, None]
    above, at = similarity > bound, similarity == bound
    left = (count - above.sum(1, keepdims=True)) / at.sum(1, keepdims=True)
    found: Array = (above + at * left) / count
    return found


def _check(similarity: Array, relevant: Array) -> None:
    if similarity.shape != relevant.shape:
        raise XLIPError(f"retrieval: similarities of shape {similarity.shape}, relevance of shape {relevant.shape}")
    if not np.isfinite(similarity).all():
        raise XLIPError(f"retrieval: {int((~np.isfinite(similarity)).sum())} similarities are not finite")
