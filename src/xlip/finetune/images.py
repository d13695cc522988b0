"""The labelled images of a set, decoded once into one uint8 array; on disk where they would not fit in memory."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from xlip.errors import XLIPError
from xlip.files import open_path, writing
from xlip.images.any_form import square
from xlip.sources.csv import studies as csv_studies
from xlip.sources.source import Candidate, Dropped, is_table
from xlip.study.kinds import named
from xlip.study.labels import label_codes
from xlip.study.parquet import read_studies
from xlip.study.record import Study
from xlip.study.subgroups import group_columns, subgroups

Array = np.ndarray[Any, Any]
MEMORY_BYTES = 1 << 30
"""Pixels beyond this are kept in a temporary file that the operating system pages in and out."""


@dataclass(frozen=True)
class Columns:
    """Which columns of a CSV file say what; a prepared set needs none of it."""

    image: str = "path"
    patient: str = ""
    split: str = ""
    kinds: str = ""


@dataclass(frozen=True)
class LabelledImages:
    """n images of one set, with what is known of them."""

    name: str
    kinds: tuple[str, ...]
    study_ids: Array
    """(n,) str."""
    patients: Array
    """(n,) str."""
    splits: Array
    """(n,) str: train, val, test."""
    codes: Array
    """(n, K) int8 of `LabelState`."""
    pixels: Array
    """(n, S, S) uint8, after the model's preprocessing."""
    dropped: tuple[tuple[str, str], ...] = ()
    """(row, reason) of what could not be read."""
    groups: Mapping[str, Array] = field(default_factory=dict)
    """Subgroup (sex, age, view, source) -> (n,) values, '' where unknown."""

    def __len__(self) -> int:
        return len(self.study_ids)

    def rows(self, *splits: str) -> Array:
        """Row numbers of some splits."""
        return np.flatnonzero(np.isin(self.splits, splits))

    def with_kinds(self, kept: Array) -> LabelledImages:
        """The same images with some of the kinds: kept (K,) bool."""
        kinds = tuple(kind for kind, keep in zip(self.kinds, kept, strict=True) if keep)
        return replace(self, kinds=kinds, codes=self.codes[:, kept])


def read_labelled(data: str, size: int, preprocess: str, columns: Columns | None = None) -> LabelledImages:
    """Read the labelled frontal images of a prepared folder or file, or of a CSV file.

    Args:
        data: path.
        size: side of the square images, pixels.
        preprocess: see `xlip.images.files.fit`.
        columns: of a CSV file; `kinds` also chooses among the labels of a prepared set.

    Raises:
        XLIPError: nothing there, no label, no readable image, an unknown kind or a missing column.
    """
    columns = columns or Columns()
    dropped: list[tuple[str, str]] = []
    read = _table if is_table(data) else _parquet
    listed = list(read(data, columns, dropped, with_images=False))
    labelled = {kind for study, _ in listed for kind in study.labels}
    wanted = named(columns.kinds, labelled)
    kinds = tuple(wanted or sorted(labelled))
    if not labelled & set(kinds):
        raise XLIPError(f"{data}: no label{_of(wanted)} to learn from; add one column per kind, or name them")
    pixels = _pixel_array(len(listed), size)
    kept: list[Study] = []
    for study, image in read(data, columns, [], with_images=True):
        try:
            pixels[len(kept)] = square(image, size, preprocess)
        except XLIPError as error:
            dropped.append((study.study_id, str(error)))
        else:
            kept.append(study)
    if not kept:
        raise XLIPError(f"{data}: no labelled image could be read ({len(dropped)} dropped{_first(dropped)})")
    return LabelledImages(
        name=Path(data).stem,
        kinds=kinds,
        study_ids=np.array([study.study_id for study in kept]),
        patients=np.array([study.patient_id for study in kept]),
        splits=np.array(["val" if study.split in ("valid", "validation") else study.split for study in kept]),
        codes=label_codes([study.labels for study in kept], kinds),
        pixels=pixels[: len(kept)],
        dropped=tuple(dropped),
        groups=group_columns([subgroups(study) for study in kept]),
    )


def _parquet(
    data: str, columns: Columns, dropped: list[tuple[str, str]], *, with_images: bool
) -> Iterator[tuple[Study, Any]]:
    light = ["study_id", "patient_id", "source", "split", "view", "labels", "sex", "age", "tags"]
    for study in read_studies(data, columns=[*light, "image"] if with_images else light):
        if study.labels and study.view != "LATERAL" and (study.image is not None or not with_images):
            yield study._replace(image=None), study.image


def _table(
    data: str, columns: Columns, dropped: list[tuple[str, str]], *, with_images: bool
) -> Iterator[tuple[Study, Any]]:
    rows = csv_studies(
        open_path(data),
        image_column=columns.image,
        patient_column=columns.patient,
        split_column=columns.split,
        kinds=columns.kinds,
    )
    for row in rows:
        if isinstance(row, Dropped):
            dropped.append((row.row, row.reason))
        elif isinstance(row, Candidate) and row.study.labels:
            yield row.study._replace(image=None), row.file or row.study.image


def _pixel_array(count: int, size: int) -> Array:
    if count * size * size <= MEMORY_BYTES:
        return np.zeros((count, size, size), np.uint8)
    needed = count * size * size
    advice = f"{needed / 1e9:.1f} GB are needed: make room, or set TMPDIR to a folder that has it"
    # The file has no name from the start on systems that allow it: nothing stays behind, however the run ends.
    with writing(Path(tempfile.gettempdir()), advice), tempfile.TemporaryFile() as file:
        _reserve(file.fileno(), needed)
        return np.memmap(file, np.uint8, "w+", shape=(count, size, size))


def _reserve(file: int, size: int) -> None:
    """Take room on the disk now: where there is none, writing to mapped memory would end the process without a word."""
    if not hasattr(os, "posix_fallocate"):
        return
    try:
        os.posix_fallocate(file, 0, size)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):  # a file system that cannot reserve
            raise


def _of(wanted: list[str]) -> str:
    return f" of {', '.join(wanted)}" if wanted else ""


def _first(dropped: list[tuple[str, str]]) -> str:
    return f"; first: {dropped[0][1]}" if dropped else ""
