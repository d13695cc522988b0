"""Splits by name: rebuilt from rules or from the user's own copy of the official lists, never redistributed.

One file per data set; each declares its `SPLITS`. A split is a map from study id to `train`, `val`, `test` or nothing
(left out), and a checksum over that map, which evaluations print.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from xlip.errors import XLIPError
from xlip.preparation.splits.rule import Item, Rule, Split

__all__ = ["SETS", "Item", "Rule", "Split", "make_split", "names", "rule"]

SETS = ("nih", "rsna", "siim", "chexpert", "official", "generic")
"""Modules of this package."""


def names() -> list[str]:
    """Every split there is."""
    return [name for module in SETS for name in import_module(f"xlip.preparation.splits.{module}").SPLITS]


def rule(name: str) -> Rule:
    """The rule of a split.

    Raises:
        XLIPError: no split has this name.
    """
    for module in SETS:
        found: Rule | None = import_module(f"xlip.preparation.splits.{module}").SPLITS.get(name)
        if found:
            return found
    raise XLIPError(f"unknown split {name!r}; expected one of {', '.join(names())}")


def make_split(name: str, items: list[Item], lists: Path) -> Split:
    """Build a split.

    Args:
        name: one of `names()`.
        items: every study of the set, in any order.
        lists: folder with the official lists that the rule reads, where it reads any.

    Raises:
        XLIPError: unknown name, a list is missing or names studies that the set lacks in a way the rule refuses.
    """
    parts = rule(name)(sorted(items), lists)
    return Split(name, parts)
