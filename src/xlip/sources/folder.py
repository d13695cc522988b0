"""Any folder of images or DICOM files, with class folders, split folders and texts where it has them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from xlip.errors import XLIPError
from xlip.files import open_path
from xlip.notices import notice
from xlip.reports.sections import clean
from xlip.reports.tag_inputs import decode_text
from xlip.sources.source import Candidate, Dropped, Row, files_under
from xlip.study.kinds import NO_FINDING, canonical, is_kind
from xlip.study.labels import ABSENT, PRESENT
from xlip.study.record import Study

SUFFIXES = frozenset({
    *("", ".dcm", ".dicom", ".dic", ".png", ".jpg", ".jpeg", ".jp2", ".tif", ".tiff", ".bmp", ".webp", ".gif", ".pgm"),
})  # fmt: skip
SPLITS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}


def studies(root: Path, patient_pattern: str = "", source: str = "folder") -> Iterator[Row]:
    """Every image file under `root`, in the order of its path.

    A folder whose name is a kind, or an alias of one, labels its images: that kind present and, but for No_Finding
    itself, No_Finding absent; in a No_Finding folder the kinds of the other class folders are absent. A folder called
    train, val or test is the split. `name.txt` beside `name.png` is its report.

    Args:
        root: the folder.
        patient_pattern: regular expression whose first group, found in the path under `root`, is the patient; without
            it every file is a patient of its own, and splits may leak.
        source: name stored with every study.
    """
    try:
        pattern = re.compile(patient_pattern) if patient_pattern else None
    except re.error as error:
        raise XLIPError(f"patient_pattern: {patient_pattern!r} is not a regular expression ({error})") from error
    if pattern is not None and not pattern.groups:
        raise XLIPError(f"patient_pattern: expected a group, such as '(p[0-9]+)', in {patient_pattern!r}")
    found = dict(files_under(root))
    files = sorted((path for path in found if _suffix(path).lower() in SUFFIXES), key=lambda path: path.split("/"))
    if not files:
        raise XLIPError(f"{root}: expected image or DICOM files, found none")
    folders = {path.rpartition("/")[0] for path in files}
    classes = {canonical(part) for folder in folders for part in folder.split("/") if is_kind(part)}
    shared = {folder: _shared(folder, classes) for folder in folders}
    for path in files:
        patient = pattern.search(path) if pattern else None
        if pattern and patient is None:
            yield Dropped(path, f"patient_pattern {patient_pattern!r} finds no patient in the path")
            continue
        text = found.get(path.removesuffix(_suffix(path)) + ".txt")
        study = Study(
            f"{source}/{path}",
            f"{source}/{patient.group(1) if patient else path}",
            source,
            image_path=path,
            **shared[path.rpartition("/")[0]],
        )
        yield Candidate(study, found[path], partial(_with_report, text) if text else None, whole_report=bool(text))


def _suffix(path: str) -> str:
    """As `Path.suffix`, at a tenth of its cost."""
    name = path.rpartition("/")[2]
    dot = name.rfind(".")
    return name[dot:] if 0 < dot < len(name) - 1 else ""


def _shared(folder: str, classes: set[str]) -> dict[str, Any]:
    """What the names of its folders say of a study."""
    parts = folder.split("/")
    return {
        "labels": _labels({canonical(part) for part in parts if is_kind(part)}, classes),
        "split": next((SPLITS[part.lower()] for part in parts if part.lower() in SPLITS), "train"),
    }


def _with_report(file: Path | str, study: Study) -> Study:
    """The study with the whole text of a file as its report."""
    text, guess = decode_text(open_path(file).read_bytes())
    if guess:
        notice(f"encoding of the report guessed: {guess}")
    return study._replace(report=text if clean(text) else None)


def _labels(own: set[str], classes: set[str]) -> dict[str, int]:
    if not own:
        return {}
    if own == {NO_FINDING}:
        return {**dict.fromkeys(sorted(classes), ABSENT), NO_FINDING: PRESENT}
    return {**dict.fromkeys(sorted(own), PRESENT), NO_FINDING: ABSENT}
