"""MIMIC-CXR and MIMIC-CXR-JPG (Johnson et al. 2019): images with the report of their study.

The reports are in MIMIC-CXR, the labels and the split table in MIMIC-CXR-JPG: unpack both into one folder, or name the
folder of the reports.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from xlip.errors import XLIPError
from xlip.reports.sections import sections
from xlip.sources.cells import identifier, number, split_of
from xlip.sources.chexpert import KINDS
from xlip.sources.chexpert import labels as chexpert_labels
from xlip.sources.mimic_boxes import Boxed, read_boxes
from xlip.sources.source import Candidate, Dropped, Row, first_existing, optional_table, read_table, relative
from xlip.sources.views import FRONTAL, projection, view_of
from xlip.study.record import Study

CHOICES = ("frontal", "all")


def studies(root: Path, reports: str = "", views: str = "frontal", boxes: str = "") -> Iterator[Row]:
    """Images of `mimic-cxr-2.0.0-metadata.csv[.gz]`, each with its study's report, labels and split.

    Args:
        root: holds the tables and `files/p10/p10000032/s50414267/*.jpg` (or `.dcm`), or the download that holds it.
        reports: folder that holds `files/p10/p10000032/s50414267.txt`; default: `root`, or `root/mimic-cxr-reports`.
        views: `frontal` (PA and AP) or `all`.
        boxes: `MS_CXR_Local_Alignment*.csv` (Boecking et al. 2022), or the folder of Chest ImaGenome's scene graphs
            (Wu et al. 2021), whose boxes are anatomical regions that a finding is seen in.
    """
    if views not in CHOICES:
        raise XLIPError(f"views: expected one of {', '.join(CHOICES)}; got {views!r}")
    patterns = ("mimic-cxr-2.*-metadata.csv", "mimic-cxr-2.*-metadata.csv.gz")
    above = ("", "files/mimic-cxr-jpg/*/", "physionet.org/files/mimic-cxr-jpg/*/")
    table = first_existing(root, *(place + pattern for place in above for pattern in patterns))
    base, faults = table.parent, list[Row]()
    splits = {
        row["dicom_id"]: split_of(row["split"]) or "train"
        for _, row in optional_table(base, "mimic-cxr-2.*-split.csv", "mimic-cxr-2.*-split.csv.gz", faults=faults)
    }
    labels, found = _study_labels(base, faults), read_boxes(root.joinpath(boxes), faults) if boxes else {}
    texts = root.joinpath(reports) if reports else _reports_folder(base)
    for line, row in read_table(table, ("dicom_id", "subject_id", "study_id", "ViewPosition"), faults):
        view = view_of(row["ViewPosition"])
        if views == "frontal" and projection(row["ViewPosition"]) not in FRONTAL:
            yield Dropped(f"{table.name}:{line}", f"view {row['ViewPosition'] or 'unknown'} is not frontal")
            continue
        patient, number_, dicom = identifier(row["subject_id"]), identifier(row["study_id"]), row["dicom_id"]
        name, folder = f"s{number_}", f"files/p{patient[:2]}/p{patient}"
        file = _image(base / folder / name, dicom)
        if file is None:
            yield Dropped(f"{table.name}:{line}", f"image file {folder}/{name}/{dicom} not found")
            continue
        study = Study(
            f"mimic-cxr/{name}/{dicom}",
            f"mimic-cxr/{patient}",
            "mimic-cxr",
            image_path=relative(file, root),
            labels=dict(labels.get(number_, ())),
            view=view,
            split=splits.get(dicom, "train"),
            width=int(number(row.get("Columns", "")) or 0),
            height=int(number(row.get("Rows", "")) or 0),
        )
        mine = found.get(dicom, Boxed())
        study = study._replace(tags=mine.tags)
        frame = mine.frame or ((study.width, study.height) if study.width and study.height else None)
        yield Candidate(study, file, partial(_with_report, texts / folder / f"{name}.txt"), tuple(mine.boxes), frame)
    yield from faults


def _with_report(file: Path, study: Study) -> Study:
    try:
        text = file.read_text("utf-8", errors="replace")
    except FileNotFoundError:
        return study  # an image alone
    return study._replace(sections=sections(text))


def _reports_folder(base: Path) -> Path:
    beside = base.parent.parent / "mimic-cxr"  # a download keeps both data sets side by side, each with its version
    places = [base / "mimic-cxr-reports", *(sorted(beside.glob("*")) if beside.is_dir() else ())]
    return next((place for place in places if (place / "files").is_dir()), base)


def _image(folder: Path, dicom: str) -> Path | None:
    candidates = (folder / f"{dicom}.{suffix}" for suffix in ("jpg", "dcm", "png"))
    return next((file for file in candidates if file.is_file()), None)


def _study_labels(root: Path, faults: list[Row]) -> dict[str, tuple[tuple[str, int], ...]]:
    """Study id -> labels; the table of the CheXpert labeler, as small as it goes."""
    shared: dict[tuple[tuple[str, int], ...], tuple[tuple[str, int], ...]] = {}
    found = {}
    tables = ("mimic-cxr-2.*-chexpert.csv", "mimic-cxr-2.*-chexpert.csv.gz")
    for _, row in optional_table(root, *tables, faults=faults):
        known = tuple(chexpert_labels({column: row.get(column, "") for column in KINDS}).items())
        found[identifier(row["study_id"])] = shared.setdefault(known, known)
    return found
