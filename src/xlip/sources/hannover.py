"""COVID-19 image repository of the Hannover Medical School (Winther et al. 2020): every patient has COVID-19."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from xlip.sources.cells import sex_of, years
from xlip.sources.source import Candidate, Dropped, Row, first_existing, read_table, relative
from xlip.sources.views import view_of
from xlip.study.labels import PRESENT
from xlip.study.record import Study


def studies(root: Path) -> Iterator[Row]:
    """Rows of `data.csv`; images in `png/`. There are no report texts."""
    table = first_existing(root, "data.csv")
    faults: list[Row] = []
    for line, row in read_table(table, ("patient_id", "image_id", "projection"), faults):
        file = table.parent / "png" / f"{row['image_id']}.png"
        if not file.is_file():
            yield Dropped(f"{table.name}:{line}", f"image file {file.name} not found")
            continue
        study = Study(
            f"hannover/{row['image_id']}",
            f"hannover/{row['patient_id']}",
            "hannover",
            image_path=relative(file, root),
            labels={"COVID-19": PRESENT},
            view=view_of(row["projection"]),
            sex=sex_of(row.get("sex", "")),
            age=years(row.get("age", "")),
        )
        yield Candidate(study, file)
    yield from faults
