"""CheXpert (Irvin et al. 2019): train and valid tables with uncertain labels, and the test set of five radiologists."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from xlip.errors import XLIPError
from xlip.sources.cells import number, sex_of, years
from xlip.sources.source import Candidate, Dropped, Row, read_table, relative
from xlip.study.labels import LabelState, from_file, stronger
from xlip.study.record import Study

KINDS = {
    "No Finding": "No_Finding",
    "Enlarged Cardiomediastinum": "Enlarged_Cardiomediastinum",
    "Cardiomegaly": "Cardiomegaly",
    "Lung Opacity": "Lung_Opacity",
    "Airspace Opacity": "Lung_Opacity",
    "Lung Lesion": "Lung_Lesion",
    "Edema": "Edema",
    "Consolidation": "Consolidation",
    "Pneumonia": "Pneumonia",
    "Atelectasis": "Atelectasis",
    "Pneumothorax": "Pneumothorax",
    "Pleural Effusion": "Effusion",
    "Pleural Other": "Pleural_Other",
    "Fracture": "Fracture",
    "Support Devices": "Support_Devices",
}
"""Column of a CheXpert table -> kind."""
TABLES = (("train.csv", "train"), ("valid.csv", "val"), ("test_labels.csv", "test"), ("test.csv", "test"))


def studies(root: Path) -> Iterator[Row]:
    """Every image of `train.csv`, `valid.csv`, `test_labels.csv`, and of the studies in `groundtruth.csv`.

    Paths in the tables may begin with any release name (`CheXpert-v1.0/`, `CheXpert-v1.0-small/` ...): what counts is
    the part from `train/`, `valid/` or `test/`. The truth of the test set is that of whole studies.
    """
    present = [(root / name, split) for name, split in TABLES if (root / name).is_file()]
    truth = next(
        (file for file in (root / "groundtruth.csv", root / "test" / "groundtruth.csv") if file.is_file()), None
    )
    if not present and truth is None:
        raise XLIPError(f"{root}: expected train.csv, valid.csv or groundtruth.csv of CheXpert, found none")
    faults: list[Row] = []
    for table, split in present:
        for line, row in read_table(table, ("Path",), faults):
            yield _candidate(root, root / _inside(row["Path"]), f"{table.name}:{line}", row, split)
    # `test_labels.csv` is the same truth by image; whoever has it needs the other not.
    if truth is not None and not any(split == "test" for _, split in present):
        yield from _truth(root, truth, faults)
    yield from faults


def labels(row: Mapping[str, str]) -> dict[str, LabelState]:
    """Known labels of a row, where 1 is present, 0 absent, -1 uncertain; empty cells are unknown.

    Raises:
        XLIPError: a cell says something else.
    """
    known: dict[str, LabelState] = {}
    for column, kind in KINDS.items():
        cell = row.get(column, "").strip()
        if cell:
            code = number(cell)
            if code not in (1, 0, -1):
                raise XLIPError(f"column {column}: expected 1, 0, -1 or empty, got {cell!r}")
            known[kind] = stronger(known.get(kind), from_file(int(code)))
    return known


def _truth(root: Path, table: Path, faults: list[Row]) -> Iterator[Row]:
    for line, row in read_table(table, (), faults):
        where = f"{table.name}:{line}"
        name = row.get("Study") or row.get("Path") or ""
        place = root / _inside(name)
        files = [place] if place.suffix else sorted(place.glob("*.jpg"))
        if not files:
            yield Dropped(where, f"image file of study {name} not found")
        for file in files:
            yield _candidate(root, file, where, row, "test")


def _inside(path: str) -> str:
    """The part of a path from the split folder on."""
    parts = path.replace("\\", "/").strip("/").split("/")
    starts = [place for place, part in enumerate(parts) if part in ("train", "valid", "test")]
    return "/".join(parts[starts[0] if starts else 0 :])


def _candidate(root: Path, file: Path, where: str, row: Mapping[str, str], split: str) -> Candidate | Dropped:
    if not file.is_file():
        return Dropped(where, f"image file {relative(file, root)} not found")
    try:
        known = labels(row)
    except XLIPError as error:
        return Dropped(where, str(error))
    path = relative(file, root)
    patient = next((part for part in path.split("/") if part.startswith("patient")), path)
    lateral = row.get("Frontal/Lateral", "") == "Lateral" or "_lateral" in file.name
    study = Study(
        f"chexpert/{path.rsplit('.', 1)[0]}",
        f"chexpert/{patient}",
        "chexpert",
        image_path=path,
        labels=known,
        view="LATERAL" if lateral else row.get("AP/PA", "") if row.get("AP/PA", "") in ("AP", "PA") else "",
        split=split,
        sex=sex_of(row.get("Sex", "")),
        age=years(row.get("Age", "")),
    )
    return Candidate(study, file)
