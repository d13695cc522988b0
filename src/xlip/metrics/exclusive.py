"""One of several kinds per image: the largest score names it (CheXpert 5x200)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from xlip.errors import XLIPError
from xlip.metrics.bootstrap import interval, patient_draws, patient_numbers

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class ExclusiveKind:
    """One kind; NaN where nothing is of it, or nothing was taken for it."""

    recall: float
    precision: float
    f1: float
    cases: int


@dataclass(frozen=True)
class Exclusive:
    """Figures of n cases that have exactly one of K kinds."""

    accuracy: float
    accuracy_ci95: tuple[float, float]
    """Over patients."""
    macro_f1: float
    per_kind: tuple[ExclusiveKind, ...]
    confusion: tuple[tuple[float, ...], ...]
    """Truth in rows, what it was taken for in columns; equal largest scores share a case."""
    cases: int
    left_out: int
    """Cases with none or several of the kinds, or with an unknown label."""


def exclusive(labels: Array, scores: Array, patients: Array, *, replicates: int = 1000, seed: int = 0) -> Exclusive:
    """Accuracy, recall, precision and F1 when each case is taken for the kind of its largest score.

    Args:
        labels: (n, K) of 1, 0 and -1.
        scores: (n, K) finite, of one scale for all kinds.
        patients: (n,) ids; the interval draws patients.
        replicates: of the bootstrap.
        seed: of the bootstrap.

    Raises:
        XLIPError: fewer than two kinds, or no case with exactly one of them.
    """
    if labels.shape[1] < 2:
        raise XLIPError(f"exclusive: expected at least two kinds to choose from, got {labels.shape[1]}")
    one = ((labels == 1).sum(1) == 1) & (labels >= 0).all(1)
    if not one.any():
        raise XLIPError(f"exclusive: none of {len(labels)} cases has exactly one of the kinds; leave `exclusive` out")
    truth, given = labels[one].argmax(1), scores[one]
    largest = given == given.max(1, keepdims=True)
    taken = largest / largest.sum(1, keepdims=True)
    confusion = np.zeros((labels.shape[1],) * 2)
    np.add.at(confusion, truth, taken)
    right = taken[np.arange(len(truth)), truth]
    numbers, count = patient_numbers(patients[one])
    sums, sizes = np.bincount(numbers, right, count), np.bincount(numbers, minlength=count)
    draws = patient_draws(count, replicates, seed, cases=len(truth))
    sample = np.concatenate([np.zeros(0), *((draw @ sums) / (draw @ sizes) for draw in draws)])
    kinds = tuple(_kind(confusion, place) for place in range(len(confusion)))
    return Exclusive(
        float(right.mean()),
        interval(sample),
        float(np.mean([0.0 if np.isnan(kind.f1) else kind.f1 for kind in kinds if kind.cases])),
        kinds,
        tuple(map(tuple, confusion.tolist())),
        len(truth),
        int((~one).sum()),
    )


def _kind(confusion: Array, place: int) -> ExclusiveKind:
    hit, cases, taken = confusion[place, place], confusion[place].sum(), confusion[:, place].sum()
    return ExclusiveKind(
        float(hit / cases) if cases else float("nan"),
        float(hit / taken) if taken else float("nan"),
        float(2 * hit / (cases + taken)) if cases + taken else float("nan"),
        round(float(cases)),
    )
