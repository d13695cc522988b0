"""Means over frequent, middling and rare kinds: one macro mean hides how the rare ones fare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from xlip.metrics.kinds import KindMetrics

Array = np.ndarray[Any, Any]

BANDS = ("head", "medium", "tail")
HEAD, TAIL = 0.1, 0.01
"""Share of the images that show a kind: the head begins above the one, the tail below the other (as in CXR-LT)."""


@dataclass(frozen=True)
class Band:
    """The kinds of one band that have enough test cases; NaN means where there is none."""

    kinds: tuple[str, ...]
    macro_auroc: float
    macro_auprc: float


def long_tail(
    kinds: Sequence[str],
    measured: Sequence[KindMetrics],
    shares: Mapping[str, float],
    *,
    head: float = HEAD,
    tail: float = TAIL,
) -> dict[str, Band]:
    """Band -> means of AUROC and AUPRC over its kinds with at least `MIN_CASES` test positives and negatives.

    Args:
        kinds: names, in the order of `measured`.
        measured: test figures of each kind.
        shares: kind -> share of the images that are positive (`positive_shares`), of the training set where one is
            known, else of the test set: say which beside the figures. A kind that is missing counts as never seen.
        head: a larger share is the head.
        tail: a smaller share is the tail.
    """
    members: dict[str, list[tuple[str, KindMetrics]]] = {band: [] for band in BANDS}
    for kind, figures in zip(kinds, measured, strict=True):
        share = shares.get(kind, 0.0)
        band = "head" if share > head else "tail" if share < tail else "medium"
        if figures.enough:
            members[band].append((kind, figures))
    return {
        band: Band(
            tuple(kind for kind, _ in rows),
            float(np.mean([figures.auroc for _, figures in rows])) if rows else float("nan"),
            float(np.mean([figures.auprc for _, figures in rows])) if rows else float("nan"),
        )
        for band, rows in members.items()
    }


def positive_shares(kinds: Sequence[str], labels: Array) -> dict[str, float]:
    """Kind -> share of all images whose label (n, K) is 1; unknown ones count as not positive."""
    count = max(len(labels), 1)
    return {kind: float((column == 1).sum()) / count for kind, column in zip(kinds, labels.T, strict=True)}
