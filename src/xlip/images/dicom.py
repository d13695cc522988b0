"""DICOM radiographs to 8-bit grayscale arrays: modality, values of interest, display, padding (DICOM PS3.3 C.11)."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from xlip.errors import XLIPError
from xlip.images.gray import MAX_PIXELS, Gray, bomb, damaged, stretch, to_bytes
from xlip.images.plausible import sampled, samples_of, upright
from xlip.images.values_of_interest import display_shares
from xlip.notices import notice

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

MAX_INFLATED = 1 << 30
"""A deflated file may grow to this many bytes, not more."""
INFLATED_PER_PIXEL = 16
"""And to this many for each pixel that is allowed."""
_DEFLATED = b"1.2.840.10008.1.2.1.99"
_SIZE_MARKERS = frozenset({*range(0xC0, 0xD0), 0xF7}) - {0xC4, 0xC8, 0xCC}


@dataclass(frozen=True, slots=True)
class Radiograph:
    """The only things that leave a DICOM file: pixels (H, W) and their spacing (rows, columns; millimetres)."""

    pixels: Gray
    pixel_spacing: tuple[float, float] | None


def decode_dicom(name: str, data: bytes, *, most_pixels: int = MAX_PIXELS) -> Radiograph:
    """Decode a single-frame radiograph of at most `most_pixels`, with or without preamble and file meta information.

    Raises:
        XLIPError: not DICOM, no image, damaged, multi-frame, palette colour, or too large.
    """
    import pydicom

    certain = data[128:132] == b"DICM"
    refuse_inflating(name, data, min(MAX_INFLATED, INFLATED_PER_PIXEL * most_pixels))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            dataset = pydicom.dcmread(io.BytesIO(data), force=True)
            has_pixels = "PixelData" in dataset and "Rows" in dataset and "Columns" in dataset
        except Exception as error:  # pydicom raises errors of a dozen types on bytes that are not DICOM
            if certain:
                raise _unreadable(name, error) from error
            has_pixels = False
        if not has_pixels:
            what = "this DICOM file holds no image" if certain else "this is neither an image nor DICOM"
            raise XLIPError(f"{name}: not a readable image: {what}; expected PNG, JPEG or a DICOM radiograph")
        try:
            _check(name, dataset, most_pixels)
            return Radiograph(_render(dataset), _spacing(dataset))
        except (XLIPError, KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # so do its pixel decoders; a panic of one in Rust is no `Exception`
            raise _unreadable(name, error) from error


def _unreadable(name: str, error: BaseException) -> XLIPError:
    """The error for a damaged file: by the class of pydicom's, whose text may hold values of the header."""
    return damaged(name, ValueError(type(error).__name__))


def refuse_inflating(name: str, data: bytes, most_bytes: int = MAX_INFLATED) -> None:
    """A deflated file that grows without measure is refused before pydicom inflates it whole."""
    if _DEFLATED not in data[:2048] or data[128:132] != b"DICM":
        return
    start = 144 + struct.unpack("<I", data[140:144])[0]
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    size, rest = 0, data[start:]
    try:
        while rest and not inflater.eof and size <= most_bytes:
            size += len(inflater.decompress(rest, 1 << 24))
            rest = inflater.unconsumed_tail
    except zlib.error as error:
        raise damaged(name, error) from error
    if size > most_bytes:
        raise bomb(name, f"got more than {most_bytes >> 20} MiB after inflating")


def _check(name: str, dataset: Dataset, most_pixels: int) -> None:
    frames = int(dataset.get("NumberOfFrames") or 1)
    if frames > 1:
        raise XLIPError(f"{name}: expected one radiograph, got a multi-frame DICOM ({frames} frames); export one frame")
    rows, columns = int(dataset.Rows or 0), int(dataset.Columns or 0)
    if rows * columns > most_pixels:
        raise bomb(name, f"got {columns} x {rows}", most_pixels)
    size = _codestream_size(dataset.PixelData)
    if size and size[0] * size[1] > most_pixels:
        raise bomb(name, f"the compressed frame promises {size[0]} x {size[1]}", most_pixels)
    photometric = dataset.get("PhotometricInterpretation", "MONOCHROME2")
    if photometric == "PALETTE COLOR":
        raise XLIPError(f"{name}: expected a gray or RGB DICOM image, got {photometric}; export it as PNG")


def _codestream_size(pixels: bytes) -> tuple[int, int] | None:
    """Width and height that a JPEG, JPEG-LS or JPEG 2000 frame claims, which may differ from Rows and Columns."""
    if pixels[:4] != b"\xfe\xff\x00\xe0":
        return None
    wavelet = pixels.find(b"\xff\x4f\xff\x51", 0, 4096)
    if wavelet >= 0 and len(pixels) >= wavelet + 24:
        right, below, left, top = struct.unpack(">4I", pixels[wavelet + 8 : wavelet + 24])
        return right - left, below - top
    place = pixels.find(b"\xff\xd8\xff", 0, 4096) + 2
    while 2 <= place <= len(pixels) - 9 and pixels[place] == 0xFF:
        marker = pixels[place + 1]
        if marker in _SIZE_MARKERS:
            height, width = struct.unpack(">2H", pixels[place + 5 : place + 9])
            return width, height
        place += 2 + int.from_bytes(pixels[place + 2 : place + 4], "big")
    return None


def _spacing(dataset: Dataset) -> tuple[float, float] | None:
    """Pixel spacing, or the spacing on the detector; None where neither is two positive numbers."""
    for keyword in ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing"):
        try:
            rows, columns = (float(value) for value in dataset.get(keyword) or ())
        except (TypeError, ValueError):
            continue
        if rows > 0 and columns > 0:
            return rows, columns
    return None


def _render(dataset: Dataset) -> Gray:
    """Stored values -> modality -> VOI -> display (DICOM PS3.3 C.11.1, C.11.2, C.7.6.3.1.2)."""
    from pydicom.pixels import pixel_array
    from pydicom.uid import ImplicitVRLittleEndian, RLELossless

    if "TransferSyntaxUID" not in getattr(dataset, "file_meta", {}):
        dataset.ensure_file_meta()
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    # The fast decoder of run lengths panics on damaged data, and prints about it; pydicom's own raises.
    run_lengths = dataset.file_meta.TransferSyntaxUID == RLELossless
    stored = pixel_array(dataset, decoding_plugin="pydicom" if run_lengths else "")
    if stored.ndim == 3:
        return np.array(Image.fromarray(to_bytes(stretch(stored, 0, 2**dataset.BitsStored - 1))).convert("L"))
    real = ~_padding(dataset, stored)
    share = display_shares(dataset, _modality(dataset, stored), real)
    padded = not real.all()
    if _inverse(dataset, np.where(real, share, 0) if padded else share):
        share = 1 - share
    return to_bytes(np.where(real, share, 0) if padded else share)


def _modality(dataset: Dataset, stored: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    from pydicom.pixels import apply_modality_lut

    try:
        return np.asarray(apply_modality_lut(stored, dataset))
    except Exception:  # pydicom raises errors of a dozen types on a damaged table
        notice("modality LUT is broken: the stored values were taken")
        return stored


def _inverse(dataset: Dataset, share: np.ndarray[Any, Any]) -> bool:
    """Whether the least value is white: as the photometric interpretation says, which the presentation shape confirms.

    Where the two contradict each other (MONOCHROME2 with INVERSE, MONOCHROME1 with IDENTITY; PS3.3 C.11.6), exporters
    have inverted some pixels and not others: the picture itself says which it is.
    """
    inverse = bool(dataset.get("PhotometricInterpretation") == "MONOCHROME1")
    shape = str(dataset.get("PresentationLUTShape") or "").upper()
    if shape not in ("INVERSE", "IDENTITY") or inverse == (shape == "INVERSE"):
        return inverse
    notice("presentation shape contradicts the photometric interpretation: bone was taken to be bright")
    return bool(upright(samples_of([sampled(to_bytes(share))]))[0] < 0)


def _padding(dataset: Dataset, stored: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    value = dataset.get("PixelPaddingValue")
    if value is None:
        return np.zeros(stored.shape, bool)
    limit = dataset.get("PixelPaddingRangeLimit", value)
    low, high = sorted((int(value), int(limit)))
    return (stored >= low) & (stored <= high)
