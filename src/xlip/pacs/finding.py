"""What a prediction says of one film, in the form that its DICOM objects are made from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from xlip.errors import XLIPError
from xlip.explain.explanation import Explanation

WARNING = "Research use only, not for diagnosis"
"""Stands in every object."""


@dataclass(frozen=True)
class Prediction:
    """Findings of one film and what made them."""

    findings: Sequence[Explanation]
    """One for each kind or text that was asked for; maps are of the whole square that the model saw."""
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
                raise XLIPError(f"pacs: {one.text}: expected a finite map (h, w) and finite numbers")
            if not 0 <= one.score <= 1 or one.low >= one.high:
                raise XLIPError(f"pacs: {one.text}: expected a score in [0, 1] and a scale that rises")
