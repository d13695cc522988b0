"""ChestX-ray14 (Wang et al. 2017): images with 14 labels mined from reports, all of them known for every image."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from xlip.sources.cells import identifier, number, sex_of, spacing_of, years
from xlip.sources.source import (
    Candidate,
    Dropped,
    Noticed,
    Row,
    first_existing,
    images_under,
    optional_table,
    read_table,
    relative,
    text_of,
)
from xlip.sources.views import view_of
from xlip.study.kinds import NO_FINDING
from xlip.study.labels import ABSENT, PRESENT
from xlip.study.record import Box, Study

LABELS = (
    *("Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Effusion", "Emphysema", "Fibrosis", "Hernia"),
    *("Infiltration", "Mass", "Nodule", "Pleural_Thickening", "Pneumonia", "Pneumothorax"),
)
FRAME = (1024, 1024)
"""Pixels that the published boxes count in: those of the published PNG files."""


def studies(root: Path) -> Iterator[Row]:
    """Rows of `Data_Entry_2017*.csv`, or `sample_labels.csv` of the sample; images in `images/` or `images_*/images/`.

    The split is `test` for what `test_list.txt` names, where that list is there; boxes come from `BBox_List_2017.csv`.
    """
    table = first_existing(root, "Data_Entry_2017*.csv", "sample_labels.csv")
    base, faults = table.parent, list[Row]()
    files = images_under(base, "images", "images_*/images", "sample/images", ".")
    boxes, tested = _boxes(base), _listed(base / "test_list.txt")
    for line, row in read_table(table, ("Image Index", "Finding Labels", "Patient ID"), faults):
        name, found = row["Image Index"], {label.strip() for label in row["Finding Labels"].split("|")}
        where, unknown = f"{table.name}:{line}", found - set(LABELS) - {"No Finding"}
        if unknown or not found:
            yield Dropped(where, f"Finding Labels: unknown label {sorted(unknown)}")
        elif name not in files:
            yield Dropped(where, f"image file {name} not found")
        else:
            labels = {label: PRESENT if label in found else ABSENT for label in LABELS}
            labels[NO_FINDING] = PRESENT if "No Finding" in found else ABSENT
            age = years(row.get("Patient Age", ""))
            if age is None and row.get("Patient Age"):  # the published table holds a few ages above 400
                yield Noticed(where, "an age is not understood: not between 0 and 120 years; it is left open")
            study = Study(
                f"nih/{name}",
                f"nih/{identifier(row['Patient ID'])}",
                "nih",
                image_path=relative(files[name], root),
                labels=labels,
                view=view_of(row.get("View Position", "")),
                split="test" if name in tested else "train",
                width=int(number(row.get("OriginalImage[Width") or row.get("OriginalImageWidth", "")) or 0),
                height=int(number(row.get("Height]") or row.get("OriginalImageHeight", "")) or 0),
                pixel_spacing=spacing_of(row, "y]", "OriginalImagePixelSpacing[x")
                or spacing_of(row, "OriginalImagePixelSpacing_y", "OriginalImagePixelSpacing_x"),
                sex=sex_of(row.get("Patient Sex") or row.get("Patient Gender") or ""),
                age=age,
            )
            yield Candidate(study, files[name], boxes=tuple(boxes.get(name, ())), frame=FRAME)
    yield from faults


def _boxes(root: Path) -> dict[str, list[Box]]:
    found: dict[str, list[Box]] = defaultdict(list)
    for _, row in optional_table(root, "BBox_List_2017*.csv"):
        kind = "Infiltration" if row["Finding Label"] == "Infiltrate" else row["Finding Label"]
        sides = [number(row.get(column, "")) for column in ("Bbox [x", "y", "w", "h]")]
        if kind in LABELS and all(side is not None for side in sides):
            found[row["Image Index"]].append(Box(kind, *(side or 0.0 for side in sides)))
    return found


def _listed(file: Path) -> frozenset[str]:
    return frozenset(text_of(file).split()) if file.is_file() else frozenset()
