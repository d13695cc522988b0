"""Rows for an index whose every part follows from a number, and a naive search over them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from xlip.search.store import IMAGES, REPORTS, Facts, Records, Store

WIDTH = 8
FACTS = Facts("abc", WIDTH, 64, "letterbox")


def unit(seed: int, count: int, width: int = WIDTH) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((count, width)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def records(numbers: list[int], **changes: Any) -> Records:
    """Rows whose vectors, columns and thumbnails follow from their numbers."""
    images = np.concatenate([unit(number, 1) for number in numbers]) if numbers else np.zeros((0, WIDTH))
    reports = np.concatenate([unit(1000 + number, 1) for number in numbers]) if numbers else np.zeros((0, WIDTH))
    for place, number in enumerate(numbers):
        if number % 5 == 0:
            images[place] = 0  # a report alone
        elif number % 3 == 0:
            reports[place] = 0  # an image alone
    columns = [{"age": number % 90, "view": "PA" if number % 2 else "AP"} for number in numbers]
    given_ = {
        "ids": [f"s{number}" for number in numbers],
        "images": images,
        "reports": reports,
        "columns": [row if number % 7 else {} for row, number in zip(columns, numbers, strict=True)],
        "thumbnails": [f"picture {number}".encode() if number % 4 else b"" for number in numbers],
    }
    return Records(**{**given_, **changes})


def naive(
    numbers: list[int], query: np.ndarray, top: int, find: str = IMAGES, keep: Callable[[int], bool] = lambda _: True
) -> list[tuple[str, float]]:
    """Ids and scores by a loop over half floats."""
    rows = records(numbers)
    vectors = np.asarray(getattr(rows, find), np.float16).astype(np.float64)
    scored = [
        (float(vector @ query.astype(np.float64)), -place, rows.ids[place])
        for place, vector in enumerate(vectors)
        if vector.any() and keep(numbers[place])
    ]
    return [(id_, score) for score, _, id_ in sorted(scored, reverse=True)[:top]]


def same(index: Store, numbers: list[int], where: str = "", keep: Callable[[int], bool] = lambda _: True) -> None:
    for find in (IMAGES, REPORTS):
        queries = unit(77, 3)
        for query, hits in zip(queries, index.nearest(queries, 5, where, find), strict=True):
            expected = naive(numbers, query, 5, find, keep)
            assert [hit.id for hit in hits] == [id_ for id_, _ in expected]
            assert np.allclose([hit.score for hit in hits], [score for _, score in expected], atol=1e-5)
