"""covid-chestxray-dataset (Cohen et al. 2020): radiographs with clinical notes, from publications."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from xlip.reports.sections import clean
from xlip.sources.cells import sex_of, years
from xlip.sources.source import Candidate, Dropped, Row, first_existing, read_table, relative
from xlip.sources.views import view_of
from xlip.study.kinds import NO_FINDING, canonical, is_kind
from xlip.study.labels import ABSENT, PRESENT
from xlip.study.record import Study

PNEUMONIAS = frozenset({
    *("covid-19", "sars", "mers", "mers-cov", "viral", "influenza", "h1n1", "varicella", "herpes"),
    *("bacterial", "streptococcus", "klebsiella", "legionella", "mycoplasma", "chlamydophila", "e.coli"),
    *("nocardia", "staphylococcus", "mrsa", "fungal", "pneumocystis", "aspergillosis", "lipoid", "aspiration"),
})  # fmt: skip
"""Words of the `finding` column that mean a pneumonia, by its cause."""


def studies(root: Path) -> Iterator[Row]:
    """Rows of `metadata.csv` whose modality is X-ray; a row without notes is a lone image."""
    table = first_existing(root, "metadata.csv")
    faults: list[Row] = []
    for line, row in read_table(table, ("patientid", "finding", "filename", "clinical_notes"), faults):
        where, file = f"metadata.csv:{line}", table.parent / (row.get("folder") or "images") / row["filename"]
        if row.get("modality", "X-ray") != "X-ray":
            yield Dropped(where, f"modality {row['modality']} is not X-ray")
        elif not file.is_file():
            yield Dropped(where, f"image file {row['filename']} not found")
        else:
            study = Study(
                f"covid-chestxray/{row['filename']}",
                f"covid-chestxray/{row['patientid']}",
                "covid-chestxray",
                image_path=relative(file, root),
                report=clean(row["clinical_notes"]),
                labels=labels(row["finding"]),
                view=view_of(row.get("view", "")),
                sex=sex_of(row.get("sex", "")),
                age=years(row.get("age", "")),
                tags=tuple(part.strip() for part in row["finding"].split("/") if part.strip()),
            )
            yield Candidate(study, file)
    yield from faults


def labels(finding: str) -> dict[str, int]:
    """Kinds that the `finding` column states; what it leaves out is unknown, except after 'No Finding'."""
    known: dict[str, int] = {}
    for word in (part.strip() for part in finding.replace("/", ",").split(",")):
        if is_kind(word):
            known[canonical(word)] = PRESENT
        if word and PNEUMONIAS.intersection(word.lower().split()):  # such as 'Mycoplasma Bacterial Pneumonia'
            known["Pneumonia"] = PRESENT
    if known.get(NO_FINDING) == PRESENT:
        return {NO_FINDING: PRESENT, "Pneumonia": ABSENT, "COVID-19": ABSENT}
    return {**known, NO_FINDING: ABSENT} if known else {}
