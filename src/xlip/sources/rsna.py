"""RSNA Pneumonia Detection Challenge (Shih et al. 2019), stage 2: DICOM files, boxes, three classes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from xlip.sources.cells import number
from xlip.sources.source import (
    Candidate,
    Dropped,
    Row,
    first_existing,
    image_files,
    image_folders,
    optional_table,
    read_table,
    relative,
)
from xlip.study.kinds import NO_FINDING
from xlip.study.labels import ABSENT, PRESENT
from xlip.study.record import Box, Study

FRAME = (1024, 1024)
"""Pixels of the published images."""


@dataclass
class _Case:
    """What the rows of one patient say."""

    line: int
    target: str
    boxes: list[Box] = field(default_factory=list)


def studies(root: Path) -> Iterator[Row]:
    """One study per patient of `stage_2_train_labels.csv`, then the unlabelled files of `stage_2_test_images/`.

    Images are DICOM files, or conversions of the same names, in any folder beside the table.

    Target 1 is Pneumonia (its boxes too) and Lung_Opacity present; of Target 0, 'Normal' in
    `stage_2_detailed_class_info.csv` is No_Finding, the rest is abnormal without opacity.
    """
    table = first_existing(root, "stage_2_train_labels.csv")
    base, faults = table.parent, list[Row]()
    extra = optional_table(base, "stage_2_detailed_class_info.csv", faults=faults)
    classes = {row["patientId"]: row["class"] for _, row in extra}
    files = image_files(*image_folders(base))
    for patient, case in _cases(table, faults).items():
        file = files.get(patient.lower())
        if file is None:
            yield Dropped(f"{table.name}:{case.line}", f"image file {patient}.dcm not found")
        elif case.target not in ("0", "1"):
            yield Dropped(f"{table.name}:{case.line}", f"column Target: expected 0 or 1, got {case.target!r}")
        else:
            study = _study(root, file, labels(case.target, classes.get(patient, "")), "train")
            # Boxes count in pixels of the DICOM files, 1024 x 1024; conversions may be smaller.
            frame = None if file.suffix.lower() in (".dcm", ".dicom") else FRAME
            yield Candidate(study, file, boxes=tuple(case.boxes), frame=frame)
    for _, file in sorted(image_files(*image_folders(base, test=True)).items()):
        yield Candidate(_study(root, file, {}, "test"), file)
    yield from faults


def labels(target: str, class_: str) -> dict[str, int]:
    """Kinds that the target and the class of a patient state."""
    sick = PRESENT if target == "1" else ABSENT
    known: dict[str, int] = {"Pneumonia": sick, "Lung_Opacity": sick}
    if sick or class_:
        known[NO_FINDING] = PRESENT if class_ == "Normal" and not sick else ABSENT
    return known


def _cases(table: Path, faults: list[Row]) -> dict[str, _Case]:
    cases: dict[str, _Case] = {}
    for line, row in read_table(table, ("patientId", "x", "y", "width", "height", "Target"), faults):
        case = cases.setdefault(row["patientId"], _Case(line, row["Target"].strip()))
        sides = [number(row[column]) for column in ("x", "y", "width", "height")]
        if all(side is not None for side in sides):
            case.boxes.append(Box("Pneumonia", *(side or 0.0 for side in sides)))
    return cases


def _study(root: Path, file: Path, known: dict[str, int], split: str) -> Study:
    id_ = f"rsna/{file.stem}"
    return Study(id_, id_, "rsna", image_path=relative(file, root), labels=known, split=split)
