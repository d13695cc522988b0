"""The split of SIIM-ACR Pneumothorax: by image, never by mask row."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from xlip.preparation.splits.rule import Item, Rule, halves


def dedup(items: Sequence[Item], lists: Path) -> dict[str, str]:
    """70/15/15 by image, stratified by pneumothorax, seed 0; images whose label is known only."""
    parts: dict[str, str] = {}
    for positive in (False, True):
        ids = [item.study_id for item in items if item.positive is positive and item.split == "train"]
        train, rest = halves(ids, 0.3, 0)
        val, test = halves(rest, 0.5, 0)
        parts |= {**dict.fromkeys(train, "train"), **dict.fromkeys(val, "val"), **dict.fromkeys(test, "test")}
    return parts


SPLITS: dict[str, Rule] = {"siim/dedup": dedup}
