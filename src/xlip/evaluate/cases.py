"""What an evaluator reads: images with their truth, streamed from prepared Parquet or from a user's CSV."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from xlip.data.images import decode, fit
from xlip.data.kinds import canonical
from xlip.data.sources.base import Candidate, Dropped
from xlip.data.sources.csv import studies as csv_studies
from xlip.data.study import read_studies
from xlip.errors import XLIPError


@dataclass(frozen=True)
class Case:
    """One image and what is known of it."""

    study_id: str
    patient_id: str
    image: Path | bytes
    labels: dict[str, int]


@dataclass
class Cases:
    """The cases of one evaluation."""

    name: str
    items: Iterable[Case]
    kinds: list[str]
    dropped: list[tuple[str, str]] = field(default_factory=list)
    """(row, reason) of what could not be read, filled while the items are read."""


def open_cases(data: str, *, image_column: str, patient_column: str, kinds: str, split: str) -> Cases:
    """Cases of a prepared folder or file, or of a CSV file.

    Raises:
        XLIPError: nothing there, a missing column, an unknown kind, or no label at all.
    """
    wanted = [canonical(name.strip()) for name in kinds.split(",") if name.strip()]
    if data.endswith(".csv"):
        return _csv_cases(Path(data), image_column, patient_column, kinds, wanted)
    found: set[str] = set()
    splits: set[str] = set()
    for study in read_studies(data, columns=["split", "labels"]):
        splits.add(study.split)
        found |= set(study.labels)
    chosen = split or ("test" if "test" in splits else "")
    if chosen and chosen not in splits:
        raise XLIPError(f"{data}: no study of split {chosen!r}; its splits are {', '.join(sorted(splits))}")
    return Cases(f"{Path(data).stem}/{chosen or 'all'}", _parquet(data, chosen), wanted or _labelled(data, found))


def images(
    cases: Iterable[Case], size: int, preprocess: str, dropped: list[tuple[str, str]]
) -> Iterator[tuple[Case, Any]]:
    """Each case with its uint8 (size, size) pixels; one that cannot be read goes to `dropped`."""
    for case in cases:
        try:
            yield case, fit(decode(case.image), size, preprocess)
        except XLIPError as error:
            dropped.append((case.study_id, str(error)))


def label_matrix(cases: Sequence[Case], kinds: Sequence[str]) -> np.ndarray[Any, Any]:
    """(n, K) int8: 1, 0, and -1 for unknown and uncertain."""
    return np.array([[case.labels.get(kind, -1) for kind in kinds] for case in cases], np.int8).reshape(-1, len(kinds))


def split_id(name: str, cases: Sequence[Case]) -> str:
    """Name, size and a checksum over the sorted study ids: two numbers are comparable only where this is equal."""
    digest = hashlib.sha256("\n".join(sorted(case.study_id for case in cases)).encode()).hexdigest()
    return f"{name}:{len(cases)}:{digest[:12]}"


def _parquet(data: str, split: str) -> Iterator[Case]:
    for study in read_studies(data):
        if study.image is not None and study.labels and (not split or study.split == split) and study.view != "LATERAL":
            yield Case(study.study_id, study.patient_id, study.image, dict(study.labels))


def _csv_cases(path: Path, image_column: str, patient_column: str, kinds: str, wanted: list[str]) -> Cases:
    rows = csv_studies(path, image_column=image_column, patient_column=patient_column, kinds=kinds)
    candidates, dropped = [], []
    for row in rows:
        if isinstance(row, Dropped):
            dropped.append((row.row, row.reason))
        else:
            candidates.append(row)
    found = {kind for candidate in candidates for kind in candidate.study.labels}
    return Cases(path.stem, map(_case, candidates), wanted or _labelled(str(path), found), dropped)


def _case(candidate: Candidate) -> Case:
    study = candidate.study
    assert candidate.file is not None
    return Case(study.study_id, study.patient_id, candidate.file, dict(study.labels))


def _labelled(data: str, found: set[str]) -> list[str]:
    if not found:
        raise XLIPError(f"{data}: no labels to compare with; add one column per kind, or name them with --kinds")
    return sorted(found)
