"""What an audit needs to know of a prepared set: ids, hashes of pixels, pictures and texts; by several processes."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from xlip.audit.phash import SIZE, Floats, pixel_digest, signatures, thumbs, upright_signatures
from xlip.errors import XLIPError
from xlip.files import open_path
from xlip.images.files import decode
from xlip.images.gray import Gray
from xlip.processes import in_order
from xlip.study.parquet import open_parquet, parquet_files, read_studies
from xlip.study.record import Study

LEAST_SIDE = 96
"""Pixels; a smaller picture has too little fine structure to be told from another chest."""
LEAST_WORDS = 20
"""A shorter report may well be written twice."""


@dataclass(frozen=True)
class SetPart:
    """A split of a prepared set: `PATH` or `PATH:SPLIT`; the path may be a URL."""

    path: Path
    split: str = ""
    """Empty: the preferred split where the set has it, else everything."""

    @classmethod
    def parse(cls, text: str) -> SetPart:
        """From `PATH` or `PATH:SPLIT`."""
        path, colon, split = text.rpartition(":")
        if colon and path and "/" not in split and ("://" in text or not Path(text).exists()):
            return cls(open_path(path), split)
        return cls(open_path(text))


@dataclass
class Index:
    """A set, study by study; images only where there are some."""

    name: str
    ids: list[str] = field(default_factory=list)
    patients: list[str] = field(default_factory=list)
    texts: list[int] = field(default_factory=list)
    """Digest of a report of at least `LEAST_WORDS` words, else 0."""
    facts: list[Facts] = field(default_factory=list)
    pixels: list[int] = field(default_factory=list)
    """Digest of the decoded pixels, 0 without an image."""
    places: list[tuple[str, int]] = field(default_factory=list)
    """File and number of the row of each study."""
    hashes: Floats = field(default_factory=lambda: np.zeros((0, SIZE), np.float32))
    """(rows, SIZE): one or two rows of each image of a training set, all poses of each image of a test set."""
    owners: np.ndarray[Any, np.dtype[np.int64]] = field(default_factory=lambda: np.zeros(0, np.int64))
    """Study of each row of `hashes`."""
    thumbs: list[tuple[Gray, ...]] = field(default_factory=list)
    """Small images of a test set, to look at closely; those of a training set are read again when they are needed."""
    unreadable: int = 0
    tiny: int = 0
    """Images whose shorter side is below `LEAST_SIDE`."""

    def extend(self, other: Index) -> None:
        """Append the studies of another file."""
        self.owners = np.concatenate([self.owners, other.owners + len(self.ids)])
        self.hashes = np.concatenate([self.hashes, other.hashes])
        for name in ("ids", "patients", "texts", "facts", "pixels", "places", "thumbs"):
            getattr(self, name).extend(getattr(other, name))
        self.unreadable += other.unreadable
        self.tiny += other.tiny


@dataclass(frozen=True, slots=True)
class Facts:
    """What the checks of one set look at."""

    source: str
    view: str
    labels: tuple[tuple[str, int], ...]
    read: tuple[tuple[str, int], ...]
    """Kinds that the report's entities state."""
    sections: tuple[str, ...]
    has_report: bool
    has_image: bool


def build_index(part: SetPart, *, posed: bool, prefer: str, workers: int, pictures: bool = True) -> Index:
    """Read a split of a set.

    Args:
        part: where it is.
        posed: hash every image in all poses (the test side of a comparison) instead of upright.
        prefer: the split that is meant where `part` names none and the set has it.
        workers: processes; 0 = in this process.
        pictures: false leaves the images alone.

    Raises:
        XLIPError: no such set, or no such split.
    """
    files = parquet_files(part.path)
    split = part.split or (prefer if prefer in _splits(files) else "")
    jobs = [(file, split, posed, pictures) for file in files]
    made = Index(f"{part.path}" + (f":{split}" if split else ""))
    for other in in_order(_of_file, jobs, workers if len(jobs) > 1 else 0):
        made.extend(other)
    if not made.ids:
        raise XLIPError(f"{part.path}: no study of split {split!r}; it has {', '.join(sorted(_splits(files)))}")
    return made


def text_digest(report: str | None) -> int:
    """64 bits of the words of a report, whatever its case and punctuation; 0 where it is short."""
    words = re.findall(r"\w+", (report or "").lower())
    if len(words) < LEAST_WORDS:
        return 0
    return int.from_bytes(hashlib.blake2b(" ".join(words).encode(), digest_size=8).digest(), "big")


def load_images(places: Sequence[tuple[str, int]]) -> Iterator[tuple[tuple[str, int], Gray]]:
    """Decoded images (H, W) of some rows, read a row group at a time."""
    wanted: dict[str, list[int]] = {}
    for file, row in sorted(set(places)):
        wanted.setdefault(file, []).append(row)
    for file, rows in wanted.items():
        parquet = open_parquet(open_path(file))
        first = 0
        for group in range(parquet.num_row_groups):
            count = parquet.metadata.row_group(group).num_rows
            inside = [row for row in rows if first <= row < first + count]
            if inside:
                column = parquet.read_row_group(group, columns=["image"])["image"]
                for row in inside:
                    yield (file, row), decode(column[row - first].as_py()["bytes"])
            first += count


def _splits(files: Sequence[Path]) -> set[str]:
    return {study.split for file in files for study in read_studies(file, columns=["split"])}


def _of_file(job: tuple[Path, str, bool, bool]) -> Index:
    file, split, posed, pictures = job
    index = Index(str(file))
    rows: list[Floats] = []
    owners: list[int] = []
    for number, study in enumerate(read_studies(file)):
        if split and study.split != split:
            continue
        image = _image_of(study, index) if pictures else None
        versions = () if image is None else thumbs(image)
        if posed:
            index.thumbs.append(versions)
        if versions:
            made = signatures(versions) if posed else upright_signatures(versions)
            rows.append(made)
            owners += [len(index.ids)] * len(made)
        index.ids.append(study.study_id)
        index.patients.append(study.patient_id)
        index.texts.append(text_digest(study.report))
        index.pixels.append(0 if image is None else pixel_digest(image))
        index.places.append((str(file), number))
        index.facts.append(_facts(study))
    if rows:
        index.hashes, index.owners = np.concatenate(rows), np.array(owners, np.int64)
    return index


def _image_of(study: Study, index: Index) -> Gray | None:
    if study.image is None:
        return None
    try:
        image = decode(study.image)
    except XLIPError:
        index.unreadable += 1
        return None
    index.tiny += min(image.shape) < LEAST_SIDE
    return image


def _facts(study: Study) -> Facts:
    from xlip.reports.entities import kinds_in_report

    read = kinds_in_report(study) if study.report else {}
    source = next((tag for tag in study.tags if tag.startswith("source:")), "source:" + study.source)
    return Facts(
        source.removeprefix("source:"),
        study.view,
        tuple(sorted(study.labels.items())),
        tuple(sorted(read.items())),
        tuple(study.sections),
        study.report is not None,
        study.image is not None,
    )
