"""RSNA Pneumonia Detection Challenge (Shih et al. 2019), stage 2: DICOM files, boxes, three classes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from xlip.sources.cells import number
from xlip.sources.source import Candidate, Dropped, Row, first_existing, optional_table, read_table, relative
from xlip.study.kinds import NO_FINDING
from xlip.study.labels import ABSENT, PRESENT
from xlip.study.record import Box, Study


@dataclass
class _Case:
    """What the rows of one patient say."""

    line: int
    target: str
    boxes: list[Box] = field(default_factory=list)


def studies(root: Path) -> Iterator[Row]:
    """One study per patient of `stage_2_train_labels.csv`, then the unlabelled files of `stage_2_test_images/`.

    Target 1 is Pneumonia (its boxes too) and Lung_Opacity present; of Target 0, 'Normal' in
    `stage_2_detailed_class_info.csv` is No_Finding, the rest is abnormal without opacity.
    """
    table = first_existing(root, "stage_2_train_labels.csv")
    classes = {row["patientId"]: row["class"] for _, row in optional_table(root, "stage_2_detailed_class_info.csv")}
    for patient, case in _cases(table).items():
        file = root / "stage_2_train_images" / f"{patient}.dcm"
        if not file.is_file():
            yield Dropped(f"{table.name}:{case.line}", f"image file {file.name} not found")
        elif case.target not in ("0", "1"):
            yield Dropped(f"{table.name}:{case.line}", f"column Target: expected 0 or 1, got {case.target!r}")
        else:
            study = _study(root, file, labels(case.target, classes.get(patient, "")), "train")
            yield Candidate(study, file, boxes=tuple(case.boxes))
    for file in sorted((root / "stage_2_test_images").glob("*.dcm")):
        yield Candidate(_study(root, file, {}, "test"), file)


def labels(target: str, class_: str) -> dict[str, int]:
    """Kinds that the target and the class of a patient state."""
    sick = PRESENT if target == "1" else ABSENT
    known: dict[str, int] = {"Pneumonia": sick, "Lung_Opacity": sick}
    if sick or class_:
        known[NO_FINDING] = PRESENT if class_ == "Normal" and not sick else ABSENT
    return known


def _cases(table: Path) -> dict[str, _Case]:
    cases: dict[str, _Case] = {}
    for line, row in read_table(table, ("patientId", "x", "y", "width", "height", "Target")):
        case = cases.setdefault(row["patientId"], _Case(line, row["Target"].strip()))
        sides = [number(row[column]) for column in ("x", "y", "width", "height")]
        if all(side is not None for side in sides):
            case.boxes.append(Box("Pneumonia", *(side or 0.0 for side in sides)))
    return cases


def _study(root: Path, file: Path, known: dict[str, int], split: str) -> Study:
    id_ = f"rsna/{file.stem}"
    return Study(id_, id_, "rsna", image_path=relative(file, root), labels=known, split=split)
