"""ChestX-ray14 (Wang et al. 2017): images with 14 labels mined from reports, all of them known for every image."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from xlip.data.kinds import NO_FINDING
from xlip.data.sources.base import Candidate, Dropped, first_existing, read_table
from xlip.data.study import ABSENT, PRESENT, Study

LABELS = (
    "Atelectasis",
    "Cardiomegaly",
    "Consolidation",
    "Edema",
    "Effusion",
    "Emphysema",
    "Fibrosis",
    "Hernia",
    "Infiltration",
    "Mass",
    "Nodule",
    "Pleural_Thickening",
    "Pneumonia",
    "Pneumothorax",
)


def studies(root: Path) -> Iterator[Candidate | Dropped]:
    """Rows of `Data_Entry_2017*.csv`; images in `images/` or `images_*/images/`."""
    table = first_existing(root, "Data_Entry_2017*.csv")
    files = {file.name: file for folder in ("images", "images_*/images") for file in root.glob(f"{folder}/*.png")}
    for line, row in read_table(table, ("Image Index", "Finding Labels", "Patient ID")):
        name, found = row["Image Index"], set(row["Finding Labels"].split("|"))
        unknown = found - set(LABELS) - {"No Finding"}
        if unknown or not found:
            yield Dropped(f"{table.name}:{line}", f"Finding Labels: unknown label {sorted(unknown)}")
        elif name not in files:
            yield Dropped(f"{table.name}:{line}", f"image file {name} not found")
        else:
            labels = {label: PRESENT if label in found else ABSENT for label in LABELS}
            labels[NO_FINDING] = PRESENT if "No Finding" in found else ABSENT
            path = str(files[name].relative_to(root))
            view = row.get("View Position", "")
            yield Candidate(
                Study(f"nih/{name}", f"nih/{row['Patient ID']}", "nih", image_path=path, labels=labels, view=view),
                files[name],
            )
