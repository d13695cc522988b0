"""COVIDx 1 to 7A and CXR-2 to CXR-4 (Wang et al. 2020): lists of patient, file, class and, mostly, source."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from xlip.sources.source import Candidate, Dropped, Row, first_existing, relative, text_of
from xlip.study.kinds import NO_FINDING
from xlip.study.labels import ABSENT, PRESENT
from xlip.study.record import Study

CLASSES = {
    "positive": {"COVID-19": PRESENT, NO_FINDING: ABSENT},
    "negative": {"COVID-19": ABSENT},
    "covid-19": {"COVID-19": PRESENT, NO_FINDING: ABSENT},
    "pneumonia": {"COVID-19": ABSENT, "Pneumonia": PRESENT, NO_FINDING: ABSENT},
    "bacterial": {"COVID-19": ABSENT, "Pneumonia": PRESENT, NO_FINDING: ABSENT},
    "viral": {"COVID-19": ABSENT, "Pneumonia": PRESENT, NO_FINDING: ABSENT},
    "normal": {"COVID-19": ABSENT, "Pneumonia": ABSENT, NO_FINDING: PRESENT},
}
"""Class of a list, in lower case -> labels. A patient with COVID-19 need not have a pneumonia to be seen."""


def studies(root: Path) -> Iterator[Row]:
    """Lines of `train*.txt`, `val*.txt` and `test*.txt`; images in `train/`, `val/` and `test/`.

    The source of an image (`rsna`, `cohen` ...) is kept as the tag `source:...`: the class is nearly the source in some
    versions, and a fair evaluation looks only at sources that hold both classes.
    """
    first = first_existing(root, "train*.txt", "test*.txt", "labels/train*.txt")
    base = first.parent.parent if first.parent.name == "labels" else first.parent
    for split in ("train", "val", "test"):
        for table in sorted(first.parent.glob(f"{split}*.txt")):
            for line, text in enumerate(text_of(table).splitlines(), 1):
                if text.strip():
                    yield _candidate(root, base, f"{table.name}:{line}", text, split)


def _candidate(root: Path, base: Path, where: str, text: str, split: str) -> Candidate | Dropped:
    """A line of four parts, or of three where the older lists name no source; a patient id may hold spaces."""
    parts = text.split()
    place = next((end for end in (-2, -1) if len(parts) > 1 - end and parts[end].lower() in CLASSES), None)
    if place is None:
        return Dropped(where, f"expected patient, file, class and perhaps source, got {text[:60]!r}")
    source, class_ = "" if place == -1 else parts[-1], parts[place].lower()
    patient, name, file = _found(base, parts[:place], split)
    if file is None:
        return Dropped(where, f"image file {split}/{name} not found")
    study = Study(
        f"covidx/{split}/{name}",
        f"covidx/{source}/{patient}" if source else f"covidx/{patient}",
        "covidx",
        image_path=relative(file, root),
        labels=CLASSES[class_],
        split=split,
        tags=(f"source:{source}",) if source else (),
    )
    return Candidate(study, file)


def _found(base: Path, words: list[str], split: str) -> tuple[str, str, Path | None]:
    """Patient, file name and file: the name is the last word, or more of them where only that is a file."""
    for start in range(len(words) - 1, 0, -1):
        name = " ".join(words[start:])
        for folder in (split, f"data/{split}", "images", "data", "."):
            if (base / folder / name).is_file():
                return " ".join(words[:start]), name, base / folder / name
    return " ".join(words[:-1]), words[-1], None
