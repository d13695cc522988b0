"""Splits of RSNA Pneumonia: one by rule, two by the user's lists."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from xlip.preparation.splits.rule import Item, Rule, from_lists, halves, read_list


def gloria(items: Sequence[Item], lists: Path) -> dict[str, str]:
    """70/15/15 of the sorted patient ids of the labelled stage-2 studies, seed 0: 18,678 / 4,003 / 4,003.

    The rest is halved with the same seed; its first half is the test part (as in the preparation that GLoRIA, Huang et
    al. 2021, published).
    """
    labelled = [item for item in items if item.split == "train"]
    patients = sorted({item.patient_id for item in labelled})
    train, rest = halves(patients, 0.3, 0)
    test, val = halves(rest, 0.5, 0)
    part_of = {**dict.fromkeys(train, "train"), **dict.fromkeys(val, "val"), **dict.fromkeys(test, "test")}
    return {item.study_id: part_of[item.patient_id] for item in labelled}


def medklip(items: Sequence[Item], lists: Path) -> dict[str, str]:
    """The 5,337 test patients of the user's `rsna_medklip_test.txt`; everything else that is labelled is train."""
    tested = from_lists(items, {"test": read_list(lists, "rsna_medklip_test.txt", "rsna_medklip_test.csv")})
    return {item.study_id: tested.get(item.study_id, "train") for item in items if item.split == "train"}


def mrm(items: Sequence[Item], lists: Path) -> dict[str, str]:
    """25,184 / 1,500 / 3,000 by the user's `rsna_mrm_{train,val,test}.txt`."""
    return from_lists(items, {part: read_list(lists, f"rsna_mrm_{part}.txt") for part in ("train", "val", "test")})


SPLITS: dict[str, Rule] = {"rsna/gloria": gloria, "rsna/medklip": medklip, "rsna/mrm": mrm}
