"""COVIDx CXR-2, CXR-3 and CXR-4 (Wang et al. 2020): lists of patient, file, class and source."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from xlip.errors import XLIPError
from xlip.sources.source import Candidate, Dropped, Row, relative
from xlip.study.kinds import NO_FINDING
from xlip.study.labels import ABSENT, PRESENT
from xlip.study.record import Study

CLASSES = {
    "positive": {"COVID-19": PRESENT, NO_FINDING: ABSENT},
    "negative": {"COVID-19": ABSENT},
    "covid-19": {"COVID-19": PRESENT, NO_FINDING: ABSENT},
    "pneumonia": {"COVID-19": ABSENT, "Pneumonia": PRESENT, NO_FINDING: ABSENT},
    "normal": {"COVID-19": ABSENT, "Pneumonia": ABSENT, NO_FINDING: PRESENT},
}
"""Class of a list, in lower case -> labels. A patient with COVID-19 need not have a pneumonia to be seen."""


def studies(root: Path) -> Iterator[Row]:
    """Lines of `train*.txt`, `val*.txt` and `test*.txt`; images in `train/`, `val/` and `test/`.

    The source of an image (`rsna`, `cohen` ...) is kept as the tag `source:...`: the class is nearly the source in some
    versions, and a fair evaluation looks only at sources that hold both classes.
    """
    found = False
    for split in ("train", "val", "test"):
        for table in sorted(root.glob(f"{split}*.txt")):
            found = True
            for line, text in enumerate(table.read_text("utf-8").splitlines(), 1):
                if text.strip():
                    yield _candidate(root, f"{table.name}:{line}", text, split)
    if not found:
        raise XLIPError(f"{root}: expected train.txt and test.txt of COVIDx, found neither")


def _candidate(root: Path, where: str, text: str, split: str) -> Candidate | Dropped:
    parts = text.strip().rsplit(maxsplit=3)  # a patient id may hold spaces
    if len(parts) != 4 or parts[2].lower() not in CLASSES:
        return Dropped(where, f"expected patient, file, class and source, got {text[:60]!r}")
    patient, name, class_, source = parts
    file = next((place for place in (root / split / name, root / "data" / split / name) if place.is_file()), None)
    if file is None:
        return Dropped(where, f"image file {split}/{name} not found")
    study = Study(
        f"covidx/{split}/{name}",
        f"covidx/{source}/{patient}",
        "covidx",
        image_path=relative(file, root),
        labels=CLASSES[class_.lower()],
        split=split,
        tags=(f"source:{source}",),
    )
    return Candidate(study, file)
