"""The DICOM objects of one prediction, of the kinds that the user chose."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from xlip.errors import XLIPError
from xlip.files import write_whole, writing
from xlip.pacs.capture import capture
from xlip.pacs.extra import package
from xlip.pacs.finding import Prediction
from xlip.pacs.maps import parametric_map, segmentation
from xlip.pacs.objects import Maker
from xlip.pacs.source import Source
from xlip.pacs.structured import structured_report

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

KINDS = {"sc": capture, "pm": parametric_map, "seg": segmentation, "sr": structured_report}
"""Secondary Capture, Parametric Map, Segmentation, Structured Report."""


def chosen(kinds: str) -> list[str]:
    """`sc,sr` as a list.

    Raises:
        XLIPError: none, or one that is not known.
    """
    names = list(dict.fromkeys(name.strip().lower() for name in kinds.split(",") if name.strip()))
    if not names or set(names) - set(KINDS):
        raise XLIPError(f"--objects: expected some of {', '.join(KINDS)}, separated by commas; got {kinds!r}")
    return names


def objects(source: Source, prediction: Prediction, kinds: Sequence[str] = tuple(KINDS)) -> dict[str, Dataset]:
    """Objects that stand in the film's study, each in a series of its own.

    Args:
        source: the film.
        prediction: what was found on it.
        kinds: keys of `KINDS`.

    Raises:
        XLIPError: the extra `[pacs]` is missing, or the film's header allows no valid object.
    """
    package("highdicom")
    maker = Maker(prediction.model, version("xlip"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of values that a film's header holds; the text would name them
        try:
            return {kind: KINDS[kind](source, prediction, maker) for kind in kinds}
        except Exception as error:  # highdicom raises errors of many types on odd headers, some with their values
            raise XLIPError(f"pacs: this film cannot carry the objects ({type(error).__name__})") from error


def write_objects(made: dict[str, Dataset], folder: Path) -> list[Path]:
    """Write each as `sc.dcm`, `pm.dcm`, `seg.dcm`, `sr.dcm`; whole files or none.

    Raises:
        XLIPError: they cannot be written.
    """
    paths = []
    with writing(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for kind, dataset in made.items():
            path = folder / f"{kind}.dcm"
            write_whole(path, encoded(dataset))
            paths.append(path)
    return paths


def encoded(dataset: Dataset) -> bytes:
    """An object as the bytes of a DICOM file."""
    stream = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of values that a film's header holds; the text would name them
        dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()
