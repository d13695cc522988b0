"""Structured reports (DICOM SR) with invented content."""

from __future__ import annotations

from pathlib import Path

from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian

BASIC_TEXT = "1.2.840.10008.5.1.4.1.1.88.11"


def item(kind: str, name: str = "", **fields: object) -> Dataset:
    made = Dataset()
    made.ValueType = kind
    if name:
        code = Dataset()
        code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "1", "DCM", name
        made.ConceptNameCodeSequence = Sequence([code])
    for keyword, value in fields.items():
        setattr(made, keyword, value)
    return made


def structured_report(file: Path, *content: Dataset, **fields: object) -> Path:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = BASIC_TEXT, "1.2.3"
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID, data.Modality = BASIC_TEXT, "1.2.3", "SR"
    data.SpecificCharacterSet = "ISO_IR 192"
    data.ContentSequence = Sequence(content)
    for keyword, value in fields.items():
        setattr(data, keyword, value)
    data.save_as(file, enforce_file_format=True)
    return file
