"""VinDr-CXR (Nguyen et al. 2022): DICOM files, labels and boxes of three radiologists (train) or their consensus."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

from xlip.errors import XLIPError
from xlip.sources.cells import number
from xlip.sources.source import Candidate, Dropped, Row, optional_table, read_table, relative
from xlip.study.labels import ABSENT, PRESENT, UNCERTAIN
from xlip.study.record import Box, Study

KINDS = {
    "Atelectasis": "Atelectasis",
    "Cardiomegaly": "Cardiomegaly",
    "Clavicle fracture": "Fracture",
    "Consolidation": "Consolidation",
    "Edema": "Edema",
    "Emphysema": "Emphysema",
    "Infiltration": "Infiltration",
    "Lung Opacity": "Lung_Opacity",
    "Nodule/Mass": "Lung_Lesion",
    "Pleural effusion": "Effusion",
    "Pleural thickening": "Pleural_Thickening",
    "Pneumothorax": "Pneumothorax",
    "Pulmonary fibrosis": "Fibrosis",
    "Rib fracture": "Fracture",
    "Lung tumor": "Lung_Lesion",
    "Pneumonia": "Pneumonia",
    "Tuberculosis": "Tuberculosis",
    "No finding": "No_Finding",
}
"""Label column -> kind. The other columns (calcification, ILD, COPD ...) go to `tags` only."""


def studies(root: Path) -> Iterator[Row]:
    """Images of `image_labels_train.csv` and `image_labels_test.csv` (in `annotations/` or beside the folders).

    Of three readings, two or three make a kind present, one makes it uncertain, none absent. Boxes are those of all
    readers, for kinds that are present.
    """
    found = False
    for split in ("train", "test"):
        for table in sorted(
            {*root.glob(f"annotations/image_labels_{split}.csv"), *root.glob(f"image_labels_{split}.csv")}
        ):
            found = True
            yield from _part(root, table, split)
    if not found:
        raise XLIPError(f"{root}: expected annotations/image_labels_train.csv of VinDr-CXR, found none")


def agreed(votes: Mapping[str, int], readers: int) -> dict[str, int]:
    """Kind -> state by majority: more than half present, none absent, in between uncertain."""
    return {kind: PRESENT if 2 * count > readers else UNCERTAIN if count else ABSENT for kind, count in votes.items()}


def _part(root: Path, table: Path, split: str) -> Iterator[Row]:
    lines: dict[str, int] = {}
    readers: Counter[str] = Counter()
    votes: dict[str, Counter[str]] = defaultdict(Counter)
    tags: dict[str, set[str]] = defaultdict(set)
    for line, row in read_table(table, ("image_id",)):
        id_ = row["image_id"]
        lines.setdefault(id_, line)
        readers[id_] += 1
        said = {column.strip() for column, cell in row.items() if cell.strip() in ("1", "1.0")}
        votes[id_].update({KINDS[column] for column in said if column in KINDS})
        tags[id_] |= said - KINDS.keys() - {"image_id", "rad_id"}
    boxes = _boxes(root, split)
    for id_, line in lines.items():
        places = (root / split / f"{id_}.{suffix}" for suffix in ("dicom", "dcm", "png", "jpg"))
        file = next((place for place in places if place.is_file()), None)
        if file is None:
            yield Dropped(f"{table.name}:{line}", f"image file {split}/{id_}.dicom not found")
            continue
        known = agreed({kind: votes[id_][kind] for kind in dict.fromkeys(KINDS.values())}, readers[id_])
        study = Study(
            f"vindr/{id_}",
            f"vindr/{id_}",
            "vindr",
            image_path=relative(file, root),
            labels=known,
            split=split,
            tags=tuple(sorted(tags[id_])),
        )
        yield Candidate(study, file, boxes=tuple(box for box in boxes.get(id_, ()) if known[box.kind] == PRESENT))


def _boxes(root: Path, split: str) -> dict[str, list[Box]]:
    found: dict[str, list[Box]] = defaultdict(list)
    for _, row in optional_table(root, f"annotations/annotations_{split}.csv", f"annotations_{split}.csv"):
        kind = KINDS.get(row["class_name"])
        sides = [number(row.get(column, "")) for column in ("x_min", "y_min", "x_max", "y_max")]
        if kind and all(side is not None for side in sides):
            left, top, right, bottom = (side or 0.0 for side in sides)
            found[row["image_id"]].append(Box(kind, left, top, right - left, bottom - top))
    return found
