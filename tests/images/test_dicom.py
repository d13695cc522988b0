from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import pytest

from xlip.errors import XLIPError
from xlip.images.dicom import decode_dicom

RAMP = (np.add.outer(np.arange(20), np.arange(24)) * 90 % 4096).astype(np.uint16)
# RAMP as a JPEG-LS stream: nothing that is installed here can write one.
JPEG_LS = base64.b64decode(
    "/9j/9wALDAAUABgBAREA/9oACAEBAAAAAI5nNYq85rFXq1VqlTqVRqFPp1NplLpVJpFHnQ6LJYK5WKpUKZSKJQJ5OJpMJZKJJII5GIo6IhDIRBID"
    "+/Pr49vTy8O7s6ujm5OLg3txZbWxramloZ2dmJSQkIyMiISEgIH7589LDx26dOXLhu3bNmrVq0aM2bNkyZMSuxYsGDBgvXrly5atWrFixWrbbaaK"
    "zTTTLLLLLLDDDDDC66666yyxVWWWWVVVVVVVVVUUUUUUUYxhUYxa1rWta1rWtSlKUpSlFNSlKUpSlKUpKVVVVVVSkqqqqqqqqqqqqqqqFFEREkkk"
    "kkkkkkUEkkkkkkqqqk9VVVVVVVpz/3/9Nf9//pj/f/8lv/9/0p//f+kv/3/0gP/Z"
)


def dataset(**fields: Any) -> Any:
    import pydicom
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = SecondaryCaptureImageStorage, "1.2.3"
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = SecondaryCaptureImageStorage, "1.2.3"
    data.Rows, data.Columns, data.SamplesPerPixel, data.PhotometricInterpretation = *RAMP.shape, 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 12, 11, 0
    data.PixelData = RAMP.tobytes()
    data["PixelData"].VR = "OW"
    for name, value in fields.items():
        setattr(data, name, value)
    assert isinstance(data, pydicom.Dataset)
    return data


def written(data: Any) -> bytes:
    buffer = io.BytesIO()
    data.save_as(buffer)
    return buffer.getvalue()


def stretched(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.round((values - values.min()) / (values.max() - values.min()) * 255).astype(np.uint8)


def test_jpeg_ls_is_lossless() -> None:
    from pydicom.encaps import encapsulate
    from pydicom.uid import JPEGLSLossless

    data = dataset(PixelData=encapsulate([JPEG_LS]))
    data.file_meta.TransferSyntaxUID = JPEGLSLossless
    data["PixelData"].VR, data["PixelData"].is_undefined_length = "OB", True
    assert np.array_equal(decode_dicom("x", written(data)).pixels, stretched(RAMP.astype(float)))


@pytest.mark.parametrize("syntax", ["RLELossless", "JPEG2000Lossless"])
def test_compressed_files_equal_the_uncompressed(syntax: str) -> None:
    from pydicom import uid

    large = np.tile(RAMP, (5, 5))
    data = dataset(PixelData=large.tobytes(), Rows=large.shape[0], Columns=large.shape[1])
    data.compress(getattr(uid, syntax), generate_instance_uid=False)
    assert np.array_equal(decode_dicom("x", written(data)).pixels, stretched(large.astype(float)))


@pytest.mark.parametrize(
    ("fields", "spacing"),
    [
        ({"PixelSpacing": [0.2, 0.25]}, (0.2, 0.25)),
        ({"ImagerPixelSpacing": [0.14, 0.14]}, (0.14, 0.14)),
        ({"PixelSpacing": [0, 0], "ImagerPixelSpacing": [0.1, 0.2]}, (0.1, 0.2)),
        ({}, None),
    ],
)
def test_spacing_is_that_of_the_patient_or_else_of_the_detector(
    fields: dict[str, Any], spacing: tuple[float, float] | None
) -> None:
    assert decode_dicom("x", written(dataset(**fields))).pixel_spacing == spacing


def test_a_negative_multi_frame_count_or_text_in_a_number_is_a_damaged_file() -> None:
    broken = written(dataset()).replace(b"\x28\x00\x10\x00US", b"\x28\x00\x10\x00CS")
    with pytest.raises(XLIPError, match="not a readable image"):
        decode_dicom("x", broken)
