"""The checks that an evaluation runs on itself, typed."""

from __future__ import annotations

from xlip.results.typed import Interval, Number, Part, Share, Truth


class PermutedLabels(Part):
    """Macro AUROC over shuffled labels: 0.5 within its interval."""

    holds: Truth
    macro_auroc: Share
    ci95: Interval


class SwappedPrompts(Part):
    """Largest deviation from 1 - AUROC with positive and negative prompts exchanged."""

    holds: Truth
    largest_deviation: Number
    kind: str


class Sanity(Part):
    """The checks that an evaluation runs on itself."""

    permuted_labels: PermutedLabels
    swapped_prompts: SwappedPrompts | None = None
