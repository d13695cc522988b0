"""What the header of a DICOM file says, read without its pixels.

A header names the patient: a `Header` stays in memory, and what is made of it goes through
`xlip.sources.pseudonyms` before anything is written.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xlip.errors import XLIPError
from xlip.images.dicom import refuse_inflating

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

FIRST_BYTES = 4096
_TEXTS = {
    "sop_class": "SOPClassUID",
    "modality": "Modality",
    "patient_id": "PatientID",
    "patient_name": "PatientName",
    "birth_date": "PatientBirthDate",
    "issuer": "IssuerOfPatientID",
    "study_uid": "StudyInstanceUID",
    "series_uid": "SeriesInstanceUID",
    "instance_uid": "SOPInstanceUID",
    "accession": "AccessionNumber",
    "view_position": "ViewPosition",
    "orientation": "PatientOrientation",
    "sex": "PatientSex",
    "age": "PatientAge",
    "manufacturer": "Manufacturer",
    "body_part": "BodyPartExamined",
    "image_type": "ImageType",
    "intent": "PresentationIntentType",
    "burned_in": "BurnedInAnnotation",
}
_DATES = ("StudyDate", "AcquisitionDate", "ContentDate", "SeriesDate")
_DESCRIPTIONS = ("SeriesDescription", "AcquisitionDeviceProcessingDescription", "ProtocolName", "StudyDescription")
_LATERALITIES = ("ImageLaterality", "Laterality")
_PEOPLE = (
    *("PatientName", "OtherPatientNames", "PatientMotherBirthName", "ReferringPhysicianName"),
    *("PerformingPhysicianName", "NameOfPhysiciansReadingStudy", "OperatorsName", "RequestingPhysician"),
)
_NUMBERS = ("PatientID", "OtherPatientIDs", "AccessionNumber", "AdmissionID", "StudyID")
_SEQUENCES = ("ViewCodeSequence", "ContentSequence", "RequestAttributesSequence")
_TAGS = list(
    dict.fromkeys(
        [
            *_TEXTS.values(),
            *(*_DATES, *_DESCRIPTIONS, *_LATERALITIES, *_PEOPLE, *_NUMBERS, *_SEQUENCES),
            *("SpecificCharacterSet", "Rows", "Columns"),
        ]
    )
)


@dataclass(frozen=True, slots=True)
class Header:
    """The elements of one file that matter here, as stripped text; empty where the file lacks them."""

    sop_class: str = ""
    modality: str = ""
    patient_id: str = ""
    patient_name: str = ""
    birth_date: str = ""
    issuer: str = ""
    """Who gave the patient's id: ids of two hospitals may be the same by chance."""
    study_uid: str = ""
    series_uid: str = ""
    instance_uid: str = ""
    accession: str = ""
    view_position: str = ""
    orientation: str = ""
    """Directions of rows and of columns, such as `L\\F`."""
    sex: str = ""
    age: str = ""
    manufacturer: str = ""
    body_part: str = ""
    image_type: str = ""
    intent: str = ""
    burned_in: str = ""
    date: str = ""
    """YYYYMMDD of the study, or of the acquisition where the study has none."""
    laterality: str = ""
    view_code: str = ""
    """Meaning of the view's code."""
    descriptions: tuple[str, ...] = ()
    """Of series, processing, protocol and study, the most specific first."""
    people: tuple[str, ...] = ()
    """Names of the patient and of staff."""
    numbers: tuple[str, ...] = ()
    """Record, accession and admission numbers."""
    has_image: bool = False
    """Whether it has rows and columns."""
    text: str = ""
    """Of a structured report: its text, a line for each item, headings with a colon."""


def looks_like_dicom(first: bytes) -> bool:
    """Whether the first bytes are those of a DICOM file, with or without preamble and file meta information."""
    if first[128:132] == b"DICM":
        return True
    if len(first) < 16 or first[:2] not in (b"\x02\x00", b"\x08\x00", b"\x00\x02", b"\x00\x08"):
        return False
    big = first[0] == 0
    element = int.from_bytes(first[2:4], "big" if big else "little")
    explicit = re.fullmatch(rb"[A-Z]{2}", first[4:6]) is not None
    length = int.from_bytes(first[4:8], "big" if big else "little")
    return element <= 0x0070 and (explicit or (not big and 0 < length <= 128))


def read_header(file: Path | str) -> Header | None:
    """The header of a DICOM file; None where the file is not DICOM, whatever its name says.

    Raises:
        XLIPError: it begins as DICOM does, and is damaged.
        OSError: it cannot be read.
    """
    with open(file, "rb") if isinstance(file, str | Path) else file.open("rb") as stream:  # noqa: PTH123
        return _read(stream)


def header_of(data: bytes) -> Header | None:
    """`read_header` of a file's bytes.

    Raises:
        XLIPError: they begin as DICOM does, and are damaged.
    """
    return _read(io.BytesIO(data))


def _read(stream: Any) -> Header | None:
    first = stream.read(FIRST_BYTES)
    if not looks_like_dicom(first):
        return None
    if b"1.2.840.10008.1.2.1.99" in first:  # deflated: all of it is inflated at once
        data = first + stream.read()
        refuse_inflating("this file", data)
        return _parsed(io.BytesIO(data), certain=True)
    stream.seek(0)
    return _parsed(stream, certain=first[128:132] == b"DICM")


def _parsed(stream: Any, *, certain: bool) -> Header | None:
    import pydicom

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            dataset = pydicom.dcmread(stream, force=True, stop_before_pixels=True, specific_tags=_TAGS)
            if not certain and not ("SOPClassUID" in dataset or "Modality" in dataset or "Rows" in dataset):
                return None
            if not len(dataset) and "MediaStorageSOPClassUID" not in getattr(dataset, "file_meta", ()):
                raise ValueError("the header is empty")
            return _header(dataset)
        except Exception as error:  # pydicom raises errors of a dozen types on damaged bytes
            if not certain:
                return None
            # Its text may hold values of the header, and with them the patient.
            raise XLIPError(f"the DICOM header is damaged ({type(error).__name__}); copy the file again") from error


def _header(dataset: Dataset) -> Header:
    texts = {name: _text(dataset, keyword) for name, keyword in _TEXTS.items()}
    meta = getattr(dataset, "file_meta", None)
    if meta is not None:
        texts["sop_class"] = texts["sop_class"] or _text(meta, "MediaStorageSOPClassUID")
        texts["instance_uid"] = texts["instance_uid"] or _text(meta, "MediaStorageSOPInstanceUID")
    return Header(
        **texts,
        date=next((found for keyword in _DATES if (found := _text(dataset, keyword))), ""),
        laterality=next((found for keyword in _LATERALITIES if (found := _text(dataset, keyword))), ""),
        view_code=_view_code(dataset),
        descriptions=tuple(found for keyword in _DESCRIPTIONS if (found := _text(dataset, keyword))),
        people=tuple(found for keyword in _PEOPLE if (found := _text(dataset, keyword))),
        numbers=tuple(found for keyword in _NUMBERS if (found := _text(dataset, keyword))),
        has_image="Rows" in dataset and "Columns" in dataset,
        text="\n".join(_report_lines(dataset)),
    )


def _text(dataset: Dataset, keyword: str) -> str:
    """An element as text, several values joined by backslashes; nothing where its bytes are not what its type asks."""
    try:
        value = dataset.get(keyword)
    except Exception:  # the conversion of one damaged element: the others are of use
        return ""
    if value is None:
        return ""
    several = value if isinstance(value, list | tuple) or type(value).__name__ == "MultiValue" else [value]
    return "\\".join(str(one).replace("\x00", "").strip() for one in several).strip("\\ ")


def _view_code(dataset: Dataset) -> str:
    try:
        return " ".join(_text(item, "CodeMeaning") for item in dataset.get("ViewCodeSequence") or ())
    except (TypeError, AttributeError):
        return ""


def _report_lines(dataset: Dataset) -> Iterator[str]:
    """Lines of a structured report in reading order (DICOM PS3.3 C.17.3): a container's name is a heading."""
    for item in dataset.get("ContentSequence") or ():
        name = next((_text(code, "CodeMeaning") for code in item.get("ConceptNameCodeSequence") or ()), "")
        kind, value = _text(item, "ValueType"), _text(item, "TextValue")
        if kind == "CONTAINER" and name:
            yield f"{name.upper()}:"
        elif kind == "TEXT" and value:
            yield f"{name.upper()}: {value}" if name else value
        elif kind == "CODE":
            yield from (_text(code, "CodeMeaning") for code in item.get("ConceptCodeSequence") or ())
        yield from _report_lines(item)
