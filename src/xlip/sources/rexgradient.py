"""ReXGradient-160K (Zhang et al. 2025): studies of several images with the sections of their reports."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from xlip.reports.sections import clean
from xlip.sources.cells import identifier, said, several, sex_of, years
from xlip.sources.source import Candidate, Dropped, Row, first_existing, read_table, relative
from xlip.sources.table_paths import find_images
from xlip.sources.views import view_of
from xlip.study.record import Study

SPLITS = {"train": "train", "valid": "val", "validation": "val", "test": "test"}


def studies(root: Path) -> Iterator[Row]:
    """Rows of `metadata/{train,valid,test}_metadata*` (CSV or JSON), an image each with the report of its study.

    `ImagePath` lists the images of a study, `ImageViewPosition` their views; the report is made of `Findings` and
    `Impression`, `Indication` and `Comparison` stay sections.
    """
    first = first_existing(root, "metadata/*_metadata*.csv", "metadata/*_metadata*.json*", "*_metadata*.csv")
    faults: list[Row] = []
    for table in sorted(first.parent.glob(f"*_metadata*{first.suffix}")):
        split = SPLITS.get(table.name.partition("_")[0].lower(), "train")
        for line, row in read_table(table, ("ImagePath", "Findings", "Impression"), faults):
            yield from _studies_of(root, table, f"{table.name}:{line}", row, split)
    yield from faults


def _studies_of(root: Path, table: Path, where: str, row: dict[str, str], split: str) -> Iterator[Row]:
    base = table.parent.parent if table.parent.name == "metadata" else table.parent
    paths, views = several(row["ImagePath"]), several(row.get("ImageViewPosition", ""))
    study_id = identifier(row.get("id")) or identifier(row.get("StudyInstanceUid")) or where
    texts = {
        name.lower(): clean(said(row.get(name))) for name in ("Findings", "Impression", "Indication", "Comparison")
    }
    for number, path in enumerate(paths):
        found = find_images(path.replace("../", "/"), base)
        if not found.files:
            yield Dropped(where, f"image file {path} not found")
            continue
        _, file = found.files[0]
        study = Study(
            f"rexgradient/{study_id}/{file.stem}",
            f"rexgradient/{identifier(row.get('PatientID')) or study_id}",
            "rexgradient",
            image_path=relative(file, root),
            sections={name: text for name, text in texts.items() if text},
            view=view_of(views[number]) if len(views) == len(paths) else "",
            split=split,
            sex=sex_of(row.get("PatientSex", "")),
            age=years(row.get("PatientAge", "")),
        )
        yield Candidate(study, file)
