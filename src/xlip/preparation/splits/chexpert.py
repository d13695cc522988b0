"""Splits of CheXpert."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from xlip.errors import XLIPError
from xlip.files import reading
from xlip.preparation.splits.rule import Item, Rule, by_hash, read_list

VALIDATION = 0.0225
"""Share of the training patients that makes about 5,000 of 223,414 images."""


def test500(items: Sequence[Item], lists: Path) -> dict[str, str]:
    """Test = the 500 studies with `groundtruth.csv`, frontal views only; val = the official 234; train = the rest."""
    parts = {item.study_id: item.split for item in items if item.split in ("train", "val") or not item.lateral}
    _needs(parts, "test")
    return parts


def valid234(items: Sequence[Item], lists: Path) -> dict[str, str]:
    """Test = the official valid images; about 5,000 training images, whole patients, are validation."""
    parts = {}
    for item in items:
        if item.split == "val":
            parts[item.study_id] = "test"
        elif item.split == "train":
            parts[item.study_id] = "val" if by_hash(item.patient_id, 0, VALIDATION) else "train"
    _needs(parts, "test")
    return parts


def mavl456(items: Sequence[Item], lists: Path) -> dict[str, str]:
    """Test = the frontal views of the studies in the user's `chexpert_mavl456.txt` (`patient64741/study1` a line)."""
    wanted = set(_studies(lists))
    parts = {item.study_id: item.split for item in items if item.split in ("train", "val")}
    for item in items:
        if item.split == "test" and not item.lateral and "/".join(item.study_id.split("/")[-3:-1]) in wanted:
            parts[item.study_id] = "test"
    _needs(parts, "test")
    return parts


def frontal668(items: Sequence[Item], lists: Path) -> dict[str, str]:
    """The parts of `chexpert/test500`, named for tables that count each of its 668 frontal images."""
    return test500(items, lists)


def five_by_200(items: Sequence[Item], lists: Path) -> dict[str, str]:
    """Test = the training images in the user's `chexpert_5x200.csv` (one path a line, in its first column): 200 images
    of each of five labels, each image with that label alone; other images of its patients are left out.
    """
    file = lists / "chexpert_5x200.csv"
    if not file.is_file():
        read_list(lists, file.name)  # raises, and says what to do
    words = [line.split(",")[0].strip().strip('"') for line in file.read_text("utf-8").splitlines()]
    wanted = {"/".join(word.rsplit(".", 1)[0].split("/")[-4:]) for word in words if "/" in word}
    tested = {item.study_id: item.patient_id for item in items if "/".join(item.study_id.split("/")[-4:]) in wanted}
    seen = set(tested.values())
    parts = {item.study_id: item.split for item in items if item.patient_id not in seen and item.split != "test"}
    parts |= dict.fromkeys(tested, "test")
    _needs(parts, "test")
    return parts


def _studies(lists: Path) -> list[str]:
    file = lists / "chexpert_mavl456.txt"
    if not file.is_file():
        read_list(lists, file.name)  # raises, and says what to do
    with reading(file):
        lines = file.read_text("utf-8").splitlines()
    return ["/".join(line.strip().split("/")[-2:]) for line in lines if line.strip()]


def _needs(parts: dict[str, str], part: str) -> None:
    if part not in parts.values():
        raise XLIPError(f"this copy of CheXpert has no image for the part {part!r}; expected test/ and groundtruth.csv")


SPLITS: dict[str, Rule] = {
    "chexpert/test500": test500,
    "chexpert/frontal668": frontal668,
    "chexpert/valid234": valid234,
    "chexpert/mavl456": mavl456,
    "chexpert/5x200": five_by_200,
}
