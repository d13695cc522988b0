"""SIIM-ACR Pneumothorax Segmentation: DICOM files and run-length masks, several rows per image."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from xlip.errors import XLIPError
from xlip.sources.source import Candidate, Dropped, Row, first_existing, read_table, relative
from xlip.study.kinds import NO_FINDING
from xlip.study.labels import ABSENT, PRESENT
from xlip.study.record import Study

SIDE = 1024
"""Pixels of every image, which the run lengths count in."""
KIND = "Pneumothorax"


def studies(root: Path) -> Iterator[Row]:
    """One study per image id of `train-rle.csv` (or `stage_2_train.csv`), its rows united into one mask.

    Files are found by name anywhere below `dicom-images-train/` (or `dicom-images-test/`: unlabelled, split `test`).
    """
    table = first_existing(root, "train-rle.csv", "stage_2_train.csv", "*/train-rle.csv")
    files = _files(root, "train")
    rows: dict[str, tuple[int, list[str]]] = {}
    for line, row in read_table(table, ("ImageId", "EncodedPixels")):
        rows.setdefault(row["ImageId"].strip(), (line, []))[1].append(row["EncodedPixels"].strip())
    for id_, (line, codes) in rows.items():
        runs = [code for code in codes if code not in ("-1", "")]
        if id_ not in files:
            yield Dropped(f"{table.name}:{line}", f"image file {id_}.dcm not found")
            continue
        known = {KIND: PRESENT} if runs else {KIND: ABSENT}
        study = _study(root, files[id_], {**known, **({NO_FINDING: ABSENT} if runs else {})}, "train")
        yield Candidate(study, files[id_], partial(_with_mask, tuple(runs)) if runs else None)
    for id_, file in sorted(_files(root, "test").items()):
        if id_ not in rows:
            yield Candidate(_study(root, file, {}, "test"), file)


def mask_of(codes: Sequence[str]) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """The union of run-length codes as (1024, 1024) bool, row by column.

    A code is pairs of (offset, length); an offset counts from the end of the run before, down the columns.

    Raises:
        XLIPError: a code that is not pairs of numbers, or that leaves the image.
    """
    flat = np.zeros(SIDE * SIDE, bool)
    for code in codes:
        try:
            numbers = np.array(code.split(), np.int64)
            offsets, lengths = numbers.reshape(-1, 2).T
        except ValueError as error:
            raise XLIPError(f"EncodedPixels: expected pairs of offset and length, got {code[:40]!r}") from error
        starts = np.cumsum(offsets) + np.concatenate(([0], np.cumsum(lengths)[:-1]))
        if len(starts) and (starts.min() < 0 or lengths.min() < 0 or (starts + lengths).max() > SIDE * SIDE):
            raise XLIPError(f"EncodedPixels: a run leaves the image of {SIDE} x {SIDE} pixels")
        for start, length in zip(starts, lengths, strict=True):
            flat[start : start + length] = True
    return flat.reshape(SIDE, SIDE).T


def _with_mask(codes: tuple[str, ...], study: Study) -> Study:
    buffer = io.BytesIO()
    Image.fromarray(mask_of(codes)).save(buffer, "PNG")
    return study._replace(masks={KIND: buffer.getvalue()})


def _files(root: Path, part: str) -> dict[str, Path]:
    return {
        file.stem: file
        for pattern in (f"dicom-images-{part}", f"*/dicom-images-{part}")
        for folder in sorted(root.glob(pattern))
        for file in sorted(folder.rglob("*.dcm"))
    }


def _study(root: Path, file: Path, known: dict[str, int], split: str) -> Study:
    id_ = f"siim/{file.stem}"
    return Study(id_, id_, "siim", image_path=relative(file, root), labels=known, split=split)
