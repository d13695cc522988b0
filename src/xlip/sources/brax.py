"""BRAX (Reis et al. 2022): Brazilian radiographs with the 14 labels of CheXpert, found in Portuguese reports."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from xlip.errors import XLIPError
from xlip.sources.cells import identifier, said, sex_of, years
from xlip.sources.chexpert import labels
from xlip.sources.source import Candidate, Dropped, Noticed, Row, first_existing, read_table, relative
from xlip.sources.views import view_of
from xlip.study.record import Study


def studies(root: Path) -> Iterator[Row]:
    """Rows of `master_spreadsheet_update.csv` (or `master_spreadsheet.csv`): the PNG file, else the DICOM file."""
    table = first_existing(root, "master_spreadsheet_update.csv", "master_spreadsheet.csv")
    base, faults = table.parent, list[Row]()
    for line, row in read_table(table, ("PatientID", "PngPath"), faults):
        where = f"{table.name}:{line}"
        paths = [said(row.get(column)).strip("/") for column in ("PngPath", "DicomPath")]
        file = next((base / path for path in paths if path and (base / path).is_file()), None)
        if file is None:
            yield Dropped(where, f"image file {paths[0]} not found")
            continue
        try:
            known = labels(row)
        except XLIPError as error:
            yield Dropped(where, str(error))
            continue
        age, text = years(row.get("PatientAge", "")), said(row.get("PatientAge"))
        if text and age is None:
            yield Noticed(where, "an age is not understood: it is left open")
        yield Candidate(
            Study(
                f"brax/{relative(file, base).rpartition('.')[0]}",
                f"brax/{identifier(row['PatientID'])}",
                "brax",
                image_path=relative(file, root),
                labels=known,
                view=view_of(row.get("ViewPosition", "")),
                sex=sex_of(row.get("PatientSex", "")),
                age=age,
            ),
            file,
        )
    yield from faults
