"""What a prediction says of one film, in the form that its DICOM objects are made from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from xlip.errors import XLIPError

WARNING = "Research use only, not for diagnosis"
"""Stands in every object."""


@dataclass(frozen=True)
class Finding:
    """One kind or text: how likely it is, and where."""

    name: str
    """In words."""
    kind: str
    """Canonical kind; '' for a text of the user's."""
    score: float
    """In [0, 1]."""
    threshold: float
    """Of the score, from which on the finding counts as found."""
    map: np.ndarray[Any, np.dtype[np.float32]]
    """(h, w), of the whole square that the model saw, in logits."""
    low: float
    """Up to here nothing is coloured."""
    high: float
    """From here on the colour is the strongest."""
    found: bool


@dataclass(frozen=True)
class Prediction:
    """Findings of one film and what made them."""

    findings: Sequence[Finding]
    preprocess: str
    """How the film became the square: one of `xlip.images.square.PREPROCESS`."""
    model: str
    """Identity of the weights."""

    def __post_init__(self) -> None:
        if not self.findings:
            raise XLIPError("pacs: expected at least one finding to write, got none")
        for one in self.findings:
            numbers = (one.score, one.threshold, one.low, one.high)
            if one.map.ndim != 2 or not np.isfinite(one.map).all() or not all(map(math.isfinite, numbers)):
                raise XLIPError(f"pacs: {one.name}: expected a finite map (h, w) and finite numbers")
            if not 0 <= one.score <= 1 or one.low >= one.high:
                raise XLIPError(f"pacs: {one.name}: expected a score in [0, 1] and a scale that rises")
