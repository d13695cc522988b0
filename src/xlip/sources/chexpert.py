"""CheXpert (Irvin et al. 2019) and CheXpert Plus: tables with uncertain labels, the test set of five radiologists."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from xlip.errors import XLIPError
from xlip.reports.sections import clean
from xlip.sources.cells import identifier, number, said, sex_of, split_of, years
from xlip.sources.source import Candidate, Dropped, Row, first_existing, read_table, relative
from xlip.sources.views import view_of
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
    """Every image of `train.csv`, `valid.csv`, `test_labels.csv`, and of the studies in `groundtruth.csv`; or of
    `df_chexpert_plus_*.csv` (CheXpert Plus, Chambon et al. 2024), with the sections of its reports.

    Paths in the tables may begin with any release name (`CheXpert-v1.0/`, `CheXpert-v1.0-small/` ...): what counts is
    the part from `train/`, `valid/` or `test/`. Images stand there below the table, in `PNG/`, or in the folders of the
    batched release (`CheXpert-v1.0 batch 2 (train 1)/patient00001/...`). The truth of the test set is that of whole
    studies.
    """
    names = [name for name, _ in TABLES]
    first = first_existing(root, *names, "groundtruth.csv", "test/groundtruth.csv", "df_chexpert_plus_*.csv")
    places, faults = Places(root, first.parent), list[Row]()
    if first.name.startswith("df_chexpert_plus"):
        yield from _plus(places, first, faults)
        return
    present = [(first.with_name(name), split) for name, split in TABLES if first.with_name(name).is_file()]
    for table, split in present:
        for line, row in read_table(table, ("Path",), faults):
            yield _candidate(places, _inside(row["Path"]), f"{table.name}:{line}", row, split)
    # `test_labels.csv` is the same truth by image; whoever has it needs the other not.
    truths = (first.with_name("groundtruth.csv"), first.parent / "test" / "groundtruth.csv")
    truth = next((file for file in truths if file.is_file()), None)
    if truth is not None and not any(split == "test" for _, split in present):
        yield from _truth(places, truth, faults)
    yield from faults


class Places:
    """Where the images of a copy stand."""

    def __init__(self, root: Path, base: Path) -> None:
        self.root = root
        above = [base, *((base.parent,) if base != root else ())]
        found = [folder for one in above for folder in sorted(one.iterdir()) if folder.is_dir()]
        self.bases: list[Path] = [
            *above,
            *(folder for folder in found if folder.name.lower().startswith(("chexpert", "png"))),
        ]

    def find(self, path: str) -> Path | None:
        """The file of a path such as `train/patient00001/study1/view1_frontal.jpg`, with any suffix of an image."""
        stem, _, suffix = path.rpartition(".")
        names = (path, *(f"{stem}.{other}" for other in ("jpg", "png", "dcm") if other != suffix))
        for base in self.bases:
            for name in names:
                for inside in (name, name.partition("/")[2]):  # the folders of the batched release leave out the part
                    if (base / inside).is_file():
                        self.bases.remove(base)
                        self.bases.insert(0, base)  # most of what follows is there too
                        return base / inside
        return None


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


def _truth(places: Places, table: Path, faults: list[Row]) -> Iterator[Row]:
    for line, row in read_table(table, (), faults):
        where = f"{table.name}:{line}"
        name = _inside(row.get("Study") or row.get("Path") or "")
        views = [f"{name}/{file.name}" for base in places.bases for file in sorted((base / name).glob("*.jpg"))]
        views = [name] if Path(name).suffix else list(dict.fromkeys(views))
        if not views:
            yield Dropped(where, f"image file of study {name} not found")
        for view in views:
            yield _candidate(places, view, where, row, "test")


def _plus(places: Places, table: Path, faults: list[Row]) -> Iterator[Row]:
    """CheXpert Plus: a row for each image; its labels come in files of their own, which the tagger here replaces."""
    for line, row in read_table(table, ("path_to_image",), faults):
        known = {column: row.get(column.lower().replace("/", "_"), "") for column in ("Frontal/Lateral", "AP/PA")}
        known |= {"Sex": row.get("sex", ""), "Age": row.get("age", "")}
        split = split_of(row.get("split", "")) or "train"
        made = _candidate(places, _inside(row["path_to_image"]), f"{table.name}:{line}", known, split)
        if isinstance(made, Candidate):
            texts = {name: clean(said(row.get(f"section_{name}"))) for name in ("findings", "impression", "comparison")}
            texts["history"] = clean(said(row.get("section_history")) or said(row.get("section_clinical_history")))
            patient = identifier(row.get("deid_patient_id"))
            made = made._replace(
                study=made.study._replace(
                    sections={name: text for name, text in texts.items() if text},
                    patient_id=f"chexpert/{patient}" if patient else made.study.patient_id,
                )
            )
        yield made
    yield from faults


def _inside(path: str) -> str:
    """The part of a path from the split folder on."""
    parts = path.replace("\\", "/").strip("/").split("/")
    starts = [place for place, part in enumerate(parts) if part in ("train", "valid", "test")]
    return "/".join(parts[starts[0] if starts else 0 :])


def _candidate(places: Places, path: str, where: str, row: Mapping[str, str], split: str) -> Candidate | Dropped:
    file = places.find(path)
    if file is None:
        return Dropped(where, f"image file {path} not found")
    try:
        known = labels(row)
    except XLIPError as error:
        return Dropped(where, str(error))
    patient = next((part for part in path.split("/") if part.startswith("patient")), path)
    lateral = row.get("Frontal/Lateral", "") == "Lateral" or "_lateral" in file.name
    study = Study(
        f"chexpert/{path.rsplit('.', 1)[0]}",
        f"chexpert/{patient}",
        "chexpert",
        image_path=relative(file, places.root),
        labels=known,
        view="LATERAL" if lateral else view_of(row.get("AP/PA", "")),
        split=split,
        sex=sex_of(row.get("Sex", "")),
        age=years(row.get("Age", "")),
    )
    return Candidate(study, file)
