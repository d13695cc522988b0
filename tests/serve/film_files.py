"""Films as files that a scanner might write."""

from __future__ import annotations

import io
import warnings
from typing import Any

import numpy as np

PATIENT = "DOE^JANE"


def as_dicom(pixels: Any, **fields: Any) -> bytes:
    """A radiograph with a name in its header."""
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = SecondaryCaptureImageStorage, "1.2.3"
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = SecondaryCaptureImageStorage, "1.2.3"
    data.PatientName, data.PatientID = PATIENT, "4711"
    data.Rows, data.Columns, data.SamplesPerPixel, data.PhotometricInterpretation = *pixels.shape, 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 12, 11, 0
    data.WindowCenter, data.WindowWidth = 2040, 4081
    data.PixelData = (pixels.astype(np.uint16) * 16).tobytes()
    data["PixelData"].VR = "OW"
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom warns of what a test writes on purpose
        for name, value in fields.items():
            setattr(data, name, value)
        data.save_as(buffer)
    return buffer.getvalue()
