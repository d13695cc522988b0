"""Splits for any set."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from xlip.preparation.splits.rule import Item, Rule, by_hash, from_lists, read_list


def patients(items: Sequence[Item], lists: Path) -> dict[str, str]:
    """70/15/15 by a hash of the patient: stays as it is when studies are added."""
    parts = {}
    for item in items:
        tested = by_hash(item.patient_id, 0, 0.15)
        parts[item.study_id] = "test" if tested else "val" if by_hash(item.patient_id, 0, 0.3) else "train"
    return parts


def patients_80_10_10(items: Sequence[Item], lists: Path) -> dict[str, str]:
    """80/10/10 by a hash of the patient (in Open-i the uid): stays as it is when studies are added."""
    parts = {}
    for item in items:
        tested = by_hash(item.patient_id, 0, 0.1)
        parts[item.study_id] = "test" if tested else "val" if by_hash(item.patient_id, 0, 0.2) else "train"
    return parts


def listed(items: Sequence[Item], lists: Path) -> dict[str, str]:
    """By the user's `train.txt`, `val.txt` and `test.txt`: image file names, or patients, one a line."""
    return from_lists(items, {part: read_list(lists, f"{part}.txt") for part in ("train", "val", "test")})


SPLITS: dict[str, Rule] = {"patients/70-15-15": patients, "patients/80-10-10": patients_80_10_10, "lists": listed}
