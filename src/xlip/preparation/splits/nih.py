"""Splits of ChestX-ray14: the official one and the one of the masked-modelling papers. Never mix the two."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from xlip.preparation.splits.rule import Item, Rule, from_lists, read_list, with_validation


def official(items: Sequence[Item], lists: Path) -> dict[str, str]:
    """`test_list.txt` (25,596 images) is test; of `train_val_list.txt` a tenth of the patients is validation."""
    parts = from_lists(
        items, {"train": read_list(lists, "train_val_list.txt"), "test": read_list(lists, "test_list.txt")}
    )
    return with_validation(parts, items, 0.1)


def mrm(items: Sequence[Item], lists: Path) -> dict[str, str]:
    """The 78,468 / 11,219 / 22,433 lists: `train_list.txt`, `val_list.txt`, `test_list.txt` of the user's copy."""
    return from_lists(
        items,
        {
            "train": read_list(lists, "mrm_train_list.txt", "train_list.txt"),
            "val": read_list(lists, "mrm_val_list.txt", "val_list.txt"),
            "test": read_list(lists, "mrm_test_list.txt", "mrm/test_list.txt"),
        },
    )


SPLITS: dict[str, Rule] = {"nih/official": official, "nih/mrm": mrm}
