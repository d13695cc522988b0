"""The header of a DICOM file, by content and whatever is damaged in it; the text of structured reports."""

from __future__ import annotations

import io
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from structured import BASIC_TEXT, item, structured_report
from xlip.errors import XLIPError
from xlip.images.header import looks_like_dicom, read_header


def test_the_text_of_a_structured_report_comes_in_reading_order(tmp_path: Path) -> None:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "2", "DCM", "Pneumothorax"
    file = structured_report(
        tmp_path / "x",
        item(
            "CONTAINER",
            "Findings",
            ContentSequence=Sequence(
                [item("TEXT", TextValue="Größe normal."), item("CODE", ConceptCodeSequence=Sequence([code]))]
            ),
        ),
        item("TEXT", "Impression", TextValue="Left pneumothorax."),
        item("NUM", "Dose"),
        PatientName="A^B",
    )
    header = read_header(file)
    assert header is not None
    assert header.text == "FINDINGS:\nGröße normal.\nPneumothorax\nIMPRESSION: Left pneumothorax."
    assert (header.modality, header.people, header.has_image) == ("SR", ("A^B",), False)


def test_what_is_no_dicom_is_none_whatever_its_name(tmp_path: Path) -> None:
    for name, content in {"a.dcm": b"\x89PNG\r\n" + b"\0" * 300, "b.dcm": b"", "c": b"report text " * 30}.items():
        (tmp_path / name).write_bytes(content)
        assert read_header(tmp_path / name) is None
    assert not looks_like_dicom(b"\x08\x00")


def test_a_file_without_preamble_and_meta_is_read(tmp_path: Path) -> None:
    data = Dataset()
    data.SOPClassUID, data.Modality, data.PatientID = BASIC_TEXT, "SR", "77"
    buffer = io.BytesIO()
    data.save_as(buffer, implicit_vr=True, little_endian=True)
    (tmp_path / "x").write_bytes(buffer.getvalue())
    header = read_header(tmp_path / "x")
    assert header is not None
    assert header.patient_id == "77"


def test_a_damaged_header_says_so_without_its_values(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"\0" * 128 + b"DICM" + b"Quillfeather^Ottoline" * 3)
    with pytest.raises(XLIPError, match="the DICOM header is damaged") as caught:
        read_header(tmp_path / "x")
    assert "Quillfeather" not in str(caught.value)


def test_a_damaged_element_leaves_the_others(tmp_path: Path) -> None:
    file = structured_report(tmp_path / "x", item("TEXT", TextValue="Clear."), PatientID="77")
    data = pydicom.dcmread(file)
    data.PatientAge = "057Y"
    data.save_as(file, enforce_file_format=True)
    file.write_bytes(file.read_bytes().replace(b"057Y", b"\xff\xfe\x00\x01"))
    header = read_header(file)
    assert header is not None
    assert (header.patient_id, header.text) == ("77", "Clear.")
