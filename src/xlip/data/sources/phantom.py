"""The embedded phantom as a source: no files needed, any number of studies."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from xlip.data.images import encode
from xlip.data.phantom import generate
from xlip.data.sources.base import Candidate, Dropped
from xlip.data.study import Study


def studies(
    root: Path, count: int = 1000, seed: int = 0, size: int = 128, start: int = 0
) -> Iterator[Candidate | Dropped]:
    """Phantoms number `start` to `start + count`, each with image, report, labels and entities; `root` is ignored."""
    for index in range(start, start + count):
        phantom = generate(index, seed=seed, size=size)
        study = Study(
            study_id=f"phantom/{seed}/{index}",
            patient_id=phantom.patient_id,
            source="phantom",
            image=encode(phantom.pixels),
            report=phantom.report,
            labels=phantom.labels,
            entities=phantom.entities,
            view="PA",
        )
        yield Candidate(study)
