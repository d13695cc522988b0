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
from xlip.images.files import decode, encode
from xlip.sources.cells import number
from xlip.sources.source import (
    Candidate,
    Dropped,
    Row,
    first_existing,
    image_files,
    image_folders,
    read_table,
    relative,
)
from xlip.study.kinds import NO_FINDING
from xlip.study.labels import ABSENT, PRESENT
from xlip.study.record import Study

SIDE = 1024
"""Pixels of every image, which the run lengths count in."""
KIND = "Pneumothorax"


def studies(root: Path) -> Iterator[Row]:
    """One study per image id of `train-rle.csv` (or `stage_2_train.csv`), its rows united into one mask.

    Files, DICOM or conversions of the same names, are found in any folder beside the table; those of test folders that
    no row labels get the split `test`. Or, of the conversion that numbers its files, `stage_1_train_images.csv` with
    `png_images/` and `png_masks/`.
    """
    table = first_existing(root, "train-rle.csv", "stage_2_train.csv", "stage_1_train_images.csv")
    if table.name == "stage_1_train_images.csv":
        yield from _numbered(root, table)
        return
    tested = image_files(*image_folders(table.parent, test=True))
    files, faults = {**tested, **image_files(*image_folders(table.parent))}, list[Row]()
    rows: dict[str, tuple[int, list[str]]] = {}
    for line, row in read_table(table, ("ImageId", "EncodedPixels"), faults):
        id_ = row["ImageId"].strip().removesuffix(".dcm")
        rows.setdefault(id_, (line, []))[1].append(row["EncodedPixels"].strip())
    for id_, (line, codes) in rows.items():
        runs = [code for code in codes if code not in ("-1", "")]
        file = files.get(id_.lower())
        if file is None:
            yield Dropped(f"{table.name}:{line}", f"image file {id_}.dcm not found")
            continue
        study = _study(root, file, _labels(bool(runs)), "train")
        yield Candidate(study, file, partial(_with_mask, tuple(runs)) if runs else None)
    labelled = {id_.lower() for id_ in rows}
    for id_, file in sorted(tested.items()):
        if id_ not in labelled:
            yield Candidate(_study(root, file, {}, "test"), file)
    yield from faults


def _numbered(root: Path, table: Path) -> Iterator[Row]:
    faults: list[Row] = []
    for part in ("train", "test"):
        place = table.with_name(f"stage_1_{part}_images.csv")
        for line, row in read_table(place, ("new_filename", "has_pneumo"), faults) if place.is_file() else ():
            name, sick = row["new_filename"], number(row["has_pneumo"])
            file, mask = table.parent / "png_images" / name, table.parent / "png_masks" / name
            if not file.is_file():
                yield Dropped(f"{place.name}:{line}", f"image file {name} not found")
            elif sick not in (0, 1):
                yield Dropped(f"{place.name}:{line}", f"column has_pneumo: expected 0 or 1, got {row['has_pneumo']!r}")
            else:
                complete = partial(_with_mask_file, str(mask)) if sick and mask.is_file() else None
                yield Candidate(_study(root, file, _labels(bool(sick)), part), file, complete)
    yield from faults


def _with_mask_file(mask: str, study: Study) -> Study:
    return study._replace(masks={KIND: encode(decode(mask), lossless=True)})


def _labels(sick: bool) -> dict[str, int]:
    return {KIND: PRESENT, NO_FINDING: ABSENT} if sick else {KIND: ABSENT}


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


def _study(root: Path, file: Path, known: dict[str, int], split: str) -> Study:
    id_ = f"siim/{file.stem}"
    return Study(id_, id_, "siim", image_path=relative(file, root), labels=known, split=split)
