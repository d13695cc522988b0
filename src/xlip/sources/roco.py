"""ROCO (Pelka et al. 2018): figures of publications with their captions; those that name a chest radiograph."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from xlip.errors import XLIPError
from xlip.reports.sections import clean
from xlip.sources.source import Candidate, Dropped, Row, relative, text_of
from xlip.study.record import Study

SPLITS = {"train": "train", "validation": "val", "test": "test"}
CHEST = re.compile(
    r"(?i)chest|thora|lung|pulmon|pleura|pneumo|cardiomegal|\bcxr\b|mediastin|heart|cardiac|\brib|pacemaker|catheter"
)
RADIOGRAPH = re.compile(r"(?i)radiogra|x[- ]?ray|roentgen|\bcxr\b|\bfilm\b|posteroanterior|postero-anterior")


def studies(root: Path, chest_only: bool = True, images: bool = True) -> Iterator[Row]:
    """Lines `ID<tab>caption` of every `radiology/captions.txt` under `root`, with `radiology/images/ID.jpg` if there.

    Args:
        root: holds `train/`, `validation/` and `test/`, or a folder of them.
        chest_only: leave out captions that do not name a radiograph of the chest: most of the set is CT, MR and others.
        images: false keeps the captions as texts alone.
    """
    tables = sorted(root.glob("**/radiology/captions.txt"))
    if not tables:
        raise XLIPError(f"{root}: expected **/radiology/captions.txt, found none")
    for table in tables:
        for line, text in enumerate(text_of(table).splitlines(), 1):
            id_, _, caption = text.partition("\t")
            report = clean(caption)
            where = f"{relative(table, root)}:{line}"
            file = table.parent / "images" / f"{id_.strip()}.jpg"
            if report is None:
                yield Dropped(where, "empty caption")
            elif chest_only and not (CHEST.search(report) and RADIOGRAPH.search(report)):
                yield Dropped(where, "the caption does not name a chest radiograph")
            else:
                known = file if images and file.is_file() else None
                yield Candidate(_study(root, table, id_.strip(), report, known), known)


def _study(root: Path, table: Path, id_: str, report: str, file: Path | None) -> Study:
    split = SPLITS.get(table.parent.parent.name, "train")
    path = relative(file, root) if file else ""
    return Study(f"roco/{id_}", f"roco/{id_}", "roco", image_path=path, report=report, split=split)
