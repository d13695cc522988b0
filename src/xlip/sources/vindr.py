"""VinDr-CXR (Nguyen et al. 2022): DICOM files, labels and boxes of three radiologists (train) or their consensus."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

from xlip.sources.cells import number
from xlip.sources.source import (
    Candidate,
    Dropped,
    Noticed,
    Row,
    first_existing,
    image_files,
    image_folders,
    optional_table,
    read_table,
    relative,
)
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
    """Images of `image_labels_train.csv` and `image_labels_test.csv` (in `annotations/` or beside the folders), or of
    the `train.csv` of the VinBigData challenge, which lists the boxes of each reader.

    Of three readings, two or three make a kind present, one makes it uncertain, none absent; a kind that the table does
    not ask for stays unknown. Boxes are those of all readers, for kinds that are present.
    """
    table = first_existing(root, "annotations/image_labels_*.csv", "image_labels_*.csv", "train.csv")
    if table.name == "train.csv":
        yield from _challenge(root, table)
        return
    base = table.parent.parent if table.parent.name == "annotations" else table.parent
    for split in ("train", "test"):
        for part in sorted(table.parent.glob(f"image_labels_{split}.csv")):
            yield from _part(root, base, part, split)


def agreed(votes: Mapping[str, int], readers: int) -> dict[str, int]:
    """Kind -> state by majority: more than half present, none absent, in between uncertain."""
    return {kind: PRESENT if 2 * count > readers else UNCERTAIN if count else ABSENT for kind, count in votes.items()}


def _part(root: Path, base: Path, table: Path, split: str) -> Iterator[Row]:
    faults, asked = list[Row](), set[str]()
    lines: dict[str, int] = {}
    readers: Counter[str] = Counter()
    votes: dict[str, Counter[str]] = defaultdict(Counter)
    tags: dict[str, set[str]] = defaultdict(set)
    for line, row in read_table(table, ("image_id",), faults):
        id_ = row["image_id"]
        asked = asked or {KINDS[column] for column in row if column in KINDS}
        lines.setdefault(id_, line)
        readers[id_] += 1
        said = {column.strip() for column, cell in row.items() if cell.strip() in ("1", "1.0")}
        votes[id_].update({KINDS[column] for column in said if column in KINDS})
        tags[id_] |= said - KINDS.keys() - {"image_id", "rad_id"}
    boxes = _boxes(base, split, faults)
    for id_, line in lines.items():
        places = (base / split / f"{id_}.{suffix}" for suffix in ("dicom", "dcm", "png", "jpg"))
        file = next((place for place in places if place.is_file()), None)
        if file is None:
            yield Dropped(f"{table.name}:{line}", f"image file {split}/{id_}.dicom not found")
            continue
        known = agreed({kind: votes[id_][kind] for kind in sorted(asked)}, readers[id_])
        study = Study(
            f"vindr/{id_}",
            f"vindr/{id_}",
            "vindr",
            image_path=relative(file, root),
            labels=known,
            split=split,
            tags=tuple(sorted(tags[id_])),
        )
        yield Candidate(study, file, boxes=tuple(box for box in boxes.get(id_, ()) if known.get(box.kind) == PRESENT))
    yield from faults


def _challenge(root: Path, table: Path) -> Iterator[Row]:
    """`train.csv` of VinBigData: a row for each box, or for 'No finding', of each of three readers."""
    faults, base = list[Row](), table.parent
    lines: dict[str, int] = {}
    said: dict[str, set[tuple[str, str]]] = defaultdict(set)
    boxes: dict[str, list[Box]] = defaultdict(list)
    asked: set[str] = set()
    for line, row in read_table(table, ("image_id", "class_name", "rad_id"), faults):
        id_, name = row["image_id"], row["class_name"]
        lines.setdefault(id_, line)
        said[id_].add((row["rad_id"], name))
        asked |= {KINDS[name]} if name in KINDS else set()
        boxes[id_] += _box(row)
    sizes = {
        row["image_id"]: (int(number(row["dim1"]) or 0), int(number(row["dim0"]) or 0))
        for _, row in optional_table(base, "train_meta.csv", faults=faults)
    }
    files = image_files(*image_folders(base))
    for id_, line in lines.items():
        file = files.get(id_.lower())
        if file is None:
            yield Dropped(f"{table.name}:{line}", f"image file train/{id_}.dicom not found")
            continue
        votes = Counter(KINDS[name] for _, name in said[id_] if name in KINDS)
        known = agreed({kind: votes[kind] for kind in sorted(asked)}, len({reader for reader, _ in said[id_]}))
        tags = sorted({name for _, name in said[id_]} - KINDS.keys())
        path = relative(file, root)
        study = Study(f"vindr/{id_}", f"vindr/{id_}", "vindr", image_path=path, labels=known, tags=tuple(tags))
        mine = tuple(box for box in boxes[id_] if known.get(box.kind) == PRESENT)
        frame = sizes.get(id_) if file.suffix.lower() not in (".dcm", ".dicom") else None
        if mine and frame is None and file.suffix.lower() not in (".dcm", ".dicom"):
            yield Noticed(f"{table.name}:{line}", "boxes of a converted image without train_meta.csv: left out")
            mine = ()
        yield Candidate(study, file, boxes=mine, frame=frame)
    yield from faults


def _boxes(base: Path, split: str, faults: list[Row]) -> dict[str, list[Box]]:
    found: dict[str, list[Box]] = defaultdict(list)
    table = optional_table(base, f"annotations/annotations_{split}.csv", f"annotations_{split}.csv", faults=faults)
    for _, row in table:
        found[row["image_id"]] += _box(row)
    return found


def _box(row: Mapping[str, str]) -> list[Box]:
    kind = KINDS.get(row["class_name"])
    sides = [number(row.get(column, "")) for column in ("x_min", "y_min", "x_max", "y_max")]
    if not kind or not all(side is not None for side in sides):
        return []
    left, top, right, bottom = (side or 0.0 for side in sides)
    return [Box(kind, left, top, right - left, bottom - top)]
