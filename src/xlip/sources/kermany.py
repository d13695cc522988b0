"""Kermany et al. 2018: paediatric radiographs in class folders, NORMAL and PNEUMONIA."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from xlip.errors import XLIPError
from xlip.sources.source import Candidate, Row, relative
from xlip.study.kinds import NO_FINDING
from xlip.study.labels import ABSENT, PRESENT
from xlip.study.record import Study

SPLITS = {"train": "train", "val": "val", "test": "test"}


def studies(root: Path) -> Iterator[Row]:
    """Files of `{train,val,test}/{NORMAL,PNEUMONIA}/`, under `root` or `root/chest_xray`.

    The person numbers in the file names repeat over the folders, so each file counts as a patient of its own.
    """
    base = root / "chest_xray" if (root / "chest_xray").is_dir() else root
    found = False
    for split in SPLITS:
        for folder, pneumonia in (("NORMAL", ABSENT), ("PNEUMONIA", PRESENT)):
            for file in sorted((base / split / folder).glob("*.jp*g")):
                found = True
                labels = {"Pneumonia": pneumonia, NO_FINDING: ABSENT if pneumonia else PRESENT}
                id_ = f"kermany/{split}/{folder}/{file.stem}"
                path = relative(file, root)
                cause = tuple(word for word in ("bacteria", "virus") if word in file.stem)
                study = Study(id_, id_, "kermany", image_path=path, labels=labels, split=SPLITS[split], tags=cause)
                yield Candidate(study, file)
    if not found:
        raise XLIPError(f"{root}: expected folders train/NORMAL and train/PNEUMONIA with JPEG files, found none")
