"""The film that a prediction is about: its pixels, and what new objects of its study have to repeat of its header."""

from __future__ import annotations

import io
import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xlip.errors import XLIPError
from xlip.files import reading
from xlip.images.dicom import decode_dicom, refuse_inflating
from xlip.images.gray import Gray
from xlip.pacs.extra import package

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

REFERENCES = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
"""Without these no object can say what it is about."""
_EMPTY = ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyID", "StudyDate", "StudyTime")
_TYPE_2 = (*_EMPTY, "AccessionNumber", "ReferringPhysicianName")
"""Have to stand in every object of a study, empty where nothing is known."""
_REPEATED = (
    *("IssuerOfPatientID", "OtherPatientIDs", "PatientAge", "PatientSize", "PatientWeight", "StudyDescription"),
    *("PatientOrientation", "PixelSpacing", "ImagerPixelSpacing", "Modality"),
)
_FORMS = {
    "PatientBirthDate": r"\d{8}",
    "StudyDate": r"\d{8}",
    "StudyTime": r"\d{2}(\d{2}(\d{2}(\.\d{1,6})?)?)?",
    "PatientSex": r"[MFO]",
    "PatientAge": r"\d{3}[DWMY]",
}
"""What is of another form is left empty: objects of ours are valid even where the film's header is not."""


@dataclass(frozen=True)
class Source:
    """One film."""

    header: Dataset
    """Patient, study, references and geometry alone, in UTF-8; no pixels."""
    pixels: Gray
    """(rows, columns), as decoded for the model."""

    @property
    def spacing(self) -> tuple[float, float] | None:
        """Millimetres between rows and between columns, where the header says so."""
        for keyword in ("PixelSpacing", "ImagerPixelSpacing"):
            values = self.header.get(keyword)
            if values is not None and len(values) == 2 and all(float(value) > 0 for value in values):
                return float(values[0]), float(values[1])
        return None


def read_source(path: Path) -> Source:
    """Read a film.

    Raises:
        XLIPError: no readable DICOM film, or one without the UIDs that a reference needs.
    """
    with reading(path):
        data = path.read_bytes()
    return source_of(str(path), data)


def source_of(name: str, data: bytes) -> Source:
    """The same of a file's bytes; `name` is what errors call it."""
    pydicom = package("pydicom")
    film = decode_dicom(name, data)
    refuse_inflating(name, data)
    with warnings.catch_warnings(), reading(name):
        warnings.simplefilter("ignore")
        whole = pydicom.dcmread(io.BytesIO(data), force=True, stop_before_pixels=True)
        whole.remove_private_tags()
        header = _repeated(whole, pydicom.dataset.Dataset())
    missing = [keyword for keyword in REFERENCES if not header.get(keyword)]
    if missing:
        raise XLIPError(f"{name}: expected a film with {', '.join(missing)}; nothing can refer to one without")
    header.Rows, header.Columns = film.pixels.shape
    if film.pixel_spacing and "PixelSpacing" not in header and "ImagerPixelSpacing" not in header:
        header.ImagerPixelSpacing = list(film.pixel_spacing)
    return Source(header, film.pixels)


def _repeated(whole: Dataset, header: Any) -> Any:
    header.SpecificCharacterSet = "ISO_IR 192"
    for keyword in (*_TYPE_2, *REFERENCES, *_REPEATED):
        text = _text(whole, keyword)
        if keyword in _FORMS and not re.fullmatch(_FORMS[keyword], text):
            text = ""
        if keyword.endswith("Spacing"):
            text = text if _two_lengths(text) else ""
        if text or keyword in _TYPE_2:
            setattr(header, keyword, text.split("\\") if "\\" in text else text)
    for keyword in ("SeriesNumber", "InstanceNumber"):
        text = _text(whole, keyword)
        setattr(header, keyword, int(text) if re.fullmatch(r"\d{1,9}", text) else None)
    if "PatientOrientation" not in header:
        header.PatientOrientation = None  # has to be there, and be empty where nothing is known
    return header


def _text(dataset: Dataset, keyword: str) -> str:
    try:
        value = dataset.get(keyword)
        if value is None:
            return ""
        several = not isinstance(value, str) and hasattr(value, "__len__") and not hasattr(value, "components")
        said = "\\".join(map(str, value)) if several else str(value)
    except Exception:  # pydicom raises errors of a dozen types on bytes that are not of an element's type
        return ""
    return re.sub(r"[\x00-\x1f\x7f]", "", said).strip()


def _two_lengths(text: str) -> bool:
    try:
        values = [float(value) for value in text.split("\\")]
    except ValueError:
        return False
    return len(values) == 2 and bool(np.isfinite(values).all()) and min(values) > 0
