"""MedMNIST chest sets (Yang et al. 2023): ChestMNIST and PneumoniaMNIST, 28 to 224 pixels, in `.npz` files.

The arrays are streamed out of the archive, never loaded whole: the largest is 5.6 GB.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np

from xlip.errors import XLIPError
from xlip.images.files import encode
from xlip.sources.source import Candidate, Row
from xlip.study.kinds import NO_FINDING
from xlip.study.labels import ABSENT, PRESENT
from xlip.study.record import Study

CHEST = (
    *("Atelectasis", "Cardiomegaly", "Effusion", "Infiltration", "Mass", "Nodule", "Pneumonia", "Pneumothorax"),
    *("Consolidation", "Edema", "Emphysema", "Fibrosis", "Pleural_Thickening", "Hernia"),
)
"""Columns of ChestMNIST, in their order."""
SPLITS = ("train", "val", "test")


def studies(root: Path) -> Iterator[Row]:
    """Images of `chestmnist*.npz` and `pneumoniamnist*.npz` in `root` (or of `root` itself, where it is such a file).

    Patients are unknown: every image counts as one of its own. ChestMNIST is made of ChestX-ray14, PneumoniaMNIST of
    the Kermany set.
    """
    files = (
        [root] if root.suffix == ".npz" else sorted([*root.glob("chestmnist*.npz"), *root.glob("pneumoniamnist*.npz")])
    )
    if not files:
        raise XLIPError(f"{root}: expected chestmnist*.npz or pneumoniamnist*.npz, found none")
    for file in files:
        try:
            with file.open("rb") as stream, zipfile.ZipFile(stream) as archive:
                for split in SPLITS:
                    yield from _part(archive, file.stem, split)
        except (OSError, zipfile.BadZipFile, zlib.error, KeyError, ValueError, EOFError) as error:
            raise XLIPError(f"{file}: not a MedMNIST archive ({error}); download it again") from error


def labels(codes: np.ndarray[Any, Any]) -> dict[str, int]:
    """Labels of a row: 14 flags of ChestMNIST, or the one class of PneumoniaMNIST."""
    if len(codes) == 1:
        sick = PRESENT if codes[0] else ABSENT
        return {"Pneumonia": sick, NO_FINDING: ABSENT if codes[0] else PRESENT}
    if len(codes) != len(CHEST):
        raise ValueError(f"expected 1 or 14 labels, got {len(codes)}")
    known = {kind: int(bool(code)) for kind, code in zip(CHEST, codes, strict=True)}
    return {**known, NO_FINDING: ABSENT if any(codes) else PRESENT}


def _part(archive: zipfile.ZipFile, name: str, split: str) -> Iterator[Candidate]:
    with archive.open(f"{split}_labels.npy") as stream:
        codes = list(_rows(stream))
    with archive.open(f"{split}_images.npy") as stream:
        for number, image in enumerate(_rows(stream)):
            id_ = f"medmnist/{name}/{split}/{number}"
            study = Study(id_, id_, "medmnist", labels=labels(codes[number]), split=split)
            yield Candidate(study, complete=partial(_with_image, image.tobytes(), image.shape[:2]))


def _with_image(pixels: bytes, shape: tuple[int, int], study: Study) -> Study:
    image = np.frombuffer(pixels, np.uint8).reshape(*shape, -1)[..., 0]
    return study._replace(image=encode(np.ascontiguousarray(image), lossless=True))


def _rows(stream: IO[bytes]) -> Iterator[np.ndarray[Any, Any]]:
    """The rows of a stored array, one at a time.

    Raises:
        ValueError: not an array of 8-bit numbers, or cut short.
    """
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read(stream)
    if fortran or dtype.kind not in "ui" or dtype.itemsize > 8:
        raise ValueError(f"expected rows of integers, got {dtype}")
    size = int(np.prod(shape[1:])) * dtype.itemsize
    for _ in range(shape[0]):
        data = stream.read(size)
        if len(data) != size:
            raise EOFError("the array is cut short")
        yield np.frombuffer(data, dtype).reshape(shape[1:])
