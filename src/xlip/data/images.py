"""Image files of every usual form in, 8-bit grayscale arrays out; resizing and storage of the same."""

from __future__ import annotations

import io
import os
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from xlip.errors import XLIPError

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

Gray = np.ndarray[Any, np.dtype[np.uint8]]
"""A grayscale image: uint8 (H, W), black is 0."""
PREPROCESS = ("letterbox", "clip", "squash")
"""Ways to make an image square: pad then resize; crop the centre; ignore the aspect."""
MAX_PIXELS = 100_000_000
"""A larger image is taken for a decompression bomb."""

_FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "GIF", "WEBP", "PPM", "JPEG2000")
_HARMLESS_INFO = frozenset({
    *("jfif", "jfif_version", "jfif_unit", "jfif_density", "dpi", "progressive", "progression"),
    *("gamma", "srgb", "chromaticity", "aspect", "interlace"),
})  # fmt: skip
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, OverflowError, MemoryError, struct.error)


def decode(source: str | os.PathLike[str] | bytes) -> Gray:
    """Decode an image file, or its bytes, to uint8 (H, W).

    PNG, JPEG, TIFF, BMP, GIF, WebP, PPM, JPEG 2000 (EXIF rotation applied; colour to luminance; alpha over black;
    more than 8 bits scaled by the least and the largest stored value) and single-frame DICOM (modality LUT, VOI LUT or
    window, MONOCHROME1 inverted, padding black). Nothing but pixels leaves a DICOM file.

    Raises:
        XLIPError: the file is missing, empty, damaged, too large, not an image, or a multi-frame DICOM.
    """
    name, data = _read(source)
    if data[128:132] == b"DICM":
        return _decode_dicom(name, data)
    with _opened(name, data) as image:
        if image is not None:
            return _to_gray(image)
    return _decode_dicom(name, data, certain=False)


def fit(image: Gray, size: int, preprocess: str = "letterbox") -> Gray:
    """Make an image (H, W) square, (size, size), by one of `PREPROCESS` (PROTOCOLS 4); antialiased.

    Raises:
        XLIPError: `preprocess` is none of `PREPROCESS`, or `size` is not positive.
    """
    if preprocess not in PREPROCESS:
        raise XLIPError(f"preprocess: expected one of {', '.join(PREPROCESS)}; got {preprocess!r}")
    if size < 1:
        raise XLIPError(f"image size: expected at least 1 pixel, got {size}")
    height, width = image.shape
    if (height, width) == (size, size):
        return image
    if preprocess == "squash":
        return _resize(image, size, size)
    if preprocess == "letterbox":
        side = max(height, width)
        return _resize(_centre(image, side), size, size)
    side = min(height, width)
    left, top = (width - side) / 2, (height - side) / 2
    return _resize(image, size, size, box=(left, top, left + side, top + side))


def shrink(image: Gray, short_side: int) -> Gray:
    """Shrink (H, W) until the shorter side is `short_side` pixels; keeps the aspect, never enlarges."""
    height, width = image.shape
    short = min(height, width)
    if short <= short_side:
        return image
    return _resize(image, round(height * short_side / short), round(width * short_side / short))


def encode(image: Gray, *, lossless: bool = False) -> bytes:
    """Encode (H, W) as a grayscale JPEG of quality 95, or as a PNG where `lossless`."""
    buffer = io.BytesIO()
    if lossless:
        Image.fromarray(image).save(buffer, "PNG")
    else:
        Image.fromarray(image).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def load_for_storage(path: str | os.PathLike[str], short_side: int) -> bytes:
    """The bytes to store for an image file, whose pixels were checked by decoding them.

    A plain 8-bit grayscale PNG or JPEG that is small enough is kept byte for byte; anything else (colour, 16 bits,
    DICOM, larger, rotated, or with metadata that might name a patient) becomes a grayscale JPEG.

    Raises:
        XLIPError: as `decode`.
    """
    name, data = _read(path)
    if data[128:132] == b"DICM":
        return encode(shrink(_decode_dicom(name, data), short_side))
    with _opened(name, data) as image:
        if image is not None and _storable(image, short_side):
            return data
        gray = _decode_dicom(name, data, certain=False) if image is None else _to_gray(image)
    return encode(shrink(gray, short_side))


def _read(source: str | os.PathLike[str] | bytes) -> tuple[str, bytes]:
    if isinstance(source, bytes):
        name, data = "image bytes", source
    else:
        name = os.fspath(source)
        try:
            data = Path(source).read_bytes()
        except OSError as error:
            raise XLIPError(f"{name}: cannot read the image ({error.strerror}); check the path") from error
    if not data:
        raise XLIPError(f"{name}: the file is empty (0 bytes); copy or download it again")
    return name, data


@contextmanager
def _opened(name: str, data: bytes) -> Iterator[Image.Image | None]:
    """The image with its pixels loaded, or None where Pillow does not know the format."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of bombs at a limit of its own and of odd metadata
        try:
            image = Image.open(io.BytesIO(data), formats=_FORMATS)
        except UnidentifiedImageError:
            yield None
            return
        except Image.DecompressionBombError as error:
            raise _bomb(name, "the header promises far more") from error
        except _BROKEN as error:
            raise _damaged(name, error) from error
        with image:
            if image.width * image.height > MAX_PIXELS:
                raise _bomb(name, f"got {image.width} x {image.height}")
            try:
                image.load()
            except _BROKEN as error:
                raise _damaged(name, error) from error
            yield image


def _bomb(name: str, got: str) -> XLIPError:
    return XLIPError(f"{name}: expected at most {MAX_PIXELS // 10**6} million pixels, {got}: a decompression bomb?")


def _damaged(name: str, error: Exception) -> XLIPError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return XLIPError(f"{name}: not a readable image: damaged or cut short ({reason}); copy or download it again")


def _storable(image: Image.Image, short_side: int) -> bool:
    return (
        image.format in ("PNG", "JPEG")
        and image.mode == "L"
        and min(image.size) <= short_side
        and not image.info.keys() - _HARMLESS_INFO
    )


def _to_gray(image: Image.Image) -> Gray:
    image = _upright(image)
    if image.mode.startswith(("I", "F")):
        return _to_bytes(_stretch(np.asarray(image).astype(np.float32)))
    if image.has_transparency_data:
        picture = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", picture.size, (0, 0, 0, 255)), picture)
    return np.array(image.convert("L"))


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except _BROKEN:
        return image  # unreadable EXIF is no reason to lose good pixels


def _stretch(values: np.ndarray[Any, Any], low: float | None = None, high: float | None = None) -> np.ndarray[Any, Any]:
    """Values to [0, 1] by the range that is stored (or given); a constant becomes 0."""
    low = float(values.min()) if low is None else low
    high = float(values.max()) if high is None else high
    if not high > low:
        return np.zeros_like(values, np.float32)
    return np.clip((values - low) / (high - low), 0, 1)


def _to_bytes(share: np.ndarray[Any, Any]) -> Gray:
    gray: Gray = np.round(np.nan_to_num(share) * 255).astype(np.uint8)
    return gray


def _centre(image: Gray, side: int) -> Gray:
    height, width = image.shape
    square = np.zeros((side, side), np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width] = image
    return square


def _resize(image: Gray, height: int, width: int, box: tuple[float, float, float, float] | None = None) -> Gray:
    # Lanczos in Pillow widens with the scale, so nothing aliases; reducing_gap averages first where the step is large.
    picture = Image.fromarray(image)
    return np.array(picture.resize((width, height), Image.Resampling.LANCZOS, box=box, reducing_gap=3.0))


def _decode_dicom(name: str, data: bytes, *, certain: bool = True) -> Gray:
    """Pixels of a DICOM file; `certain` is False where only the failure of Pillow hints at DICOM."""
    import pydicom

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            dataset = pydicom.dcmread(io.BytesIO(data), force=True)
            has_pixels = "PixelData" in dataset and "Rows" in dataset and "Columns" in dataset
        except Exception as error:  # pydicom raises errors of a dozen types on bytes that are not DICOM
            if certain:
                raise _damaged(name, error) from error
            has_pixels = False
        if not has_pixels:
            what = "this DICOM file holds no image" if certain else "this is neither an image nor DICOM"
            raise XLIPError(f"{name}: not a readable image: {what}; expected PNG, JPEG or a DICOM radiograph")
        _check_dicom(name, dataset)
        try:
            return _render(dataset)
        except Exception as error:  # so do its pixel decoders on damaged data
            raise _damaged(name, error) from error


def _check_dicom(name: str, dataset: Dataset) -> None:
    frames = int(dataset.get("NumberOfFrames") or 1)
    if frames > 1:
        raise XLIPError(f"{name}: expected one radiograph, got a multi-frame DICOM ({frames} frames); export one frame")
    if dataset.Rows * dataset.Columns > MAX_PIXELS:
        raise _bomb(name, f"got {dataset.Columns} x {dataset.Rows}")
    photometric = dataset.get("PhotometricInterpretation", "MONOCHROME2")
    if photometric == "PALETTE COLOR":
        raise XLIPError(f"{name}: expected a gray or RGB DICOM image, got {photometric}; export it as PNG")


def _render(dataset: Dataset) -> Gray:
    """Stored values -> modality -> VOI -> display (DICOM PS3.3 C.11.1, C.11.2, C.7.6.3.1.2)."""
    from pydicom.pixels import apply_modality_lut, pixel_array
    from pydicom.uid import ImplicitVRLittleEndian

    if "TransferSyntaxUID" not in getattr(dataset, "file_meta", {}):
        dataset.ensure_file_meta()
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    stored = pixel_array(dataset)
    if stored.ndim == 3:
        return np.array(Image.fromarray(_to_bytes(_stretch(stored, 0, 2**dataset.BitsStored - 1))).convert("L"))
    real = ~_padding(dataset, stored)
    share = _voi(dataset, np.asarray(apply_modality_lut(stored, dataset)), real)
    if dataset.get("PhotometricInterpretation") == "MONOCHROME1":
        share = 1 - share
    return _to_bytes(np.where(real, share, 0))


def _padding(dataset: Dataset, stored: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    value = dataset.get("PixelPaddingValue")
    if value is None:
        return np.zeros(stored.shape, bool)
    limit = dataset.get("PixelPaddingRangeLimit", value)
    low, high = sorted((int(value), int(limit)))
    return (stored >= low) & (stored <= high)


def _voi(dataset: Dataset, values: np.ndarray[Any, Any], real: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Values of interest to [0, 1]: VOI LUT, else window, else the range of the stored values."""
    from pydicom.pixels import apply_voi

    if dataset.get("VOILUTSequence"):
        entries, first, _ = (int(number) for number in dataset.VOILUTSequence[0].LUTDescriptor)
        table = apply_voi(np.arange(first, first + (entries or 65536)), dataset)  # 0 stands for 65536
        return _stretch(apply_voi(values, dataset), float(table.min()), float(table.max()))
    window = _window(dataset)
    if window is not None:
        return _windowed(values, *window)
    if dataset.BitsStored == 8 and values.dtype == np.uint8:
        return values / 255  # as a PNG of the same image would come out
    inside = values[real]
    return _stretch(values, inside.min(), inside.max()) if inside.size else np.zeros(values.shape)


def _window(dataset: Dataset) -> tuple[float, float, str] | None:
    """Centre, width and function of the first usable window."""
    first = []
    for keyword in ("WindowCenter", "WindowWidth"):
        value = dataset.get(keyword)
        try:
            first.append(float(value[0] if hasattr(value, "__getitem__") and not isinstance(value, str) else value))
        except (TypeError, ValueError, IndexError):
            return None
    function = str(dataset.get("VOILUTFunction") or "LINEAR")
    smallest = 1 if function == "LINEAR" else 0
    return (first[0], first[1], function) if first[1] > smallest else None


def _windowed(values: np.ndarray[Any, Any], centre: float, width: float, function: str) -> np.ndarray[Any, Any]:
    """PS3.3 C.11.2.1.2 and C.11.2.1.3, with an output range of [0, 1]."""
    values = values.astype(np.float64)
    if function == "SIGMOID":
        return np.asarray(1 / (1 + np.exp(np.clip(-4 * (values - centre) / width, -500, 500))))
    if function == "LINEAR_EXACT":
        return np.clip((values - centre) / width + 0.5, 0, 1)
    return np.clip((values - (centre - 0.5)) / (width - 1) + 0.5, 0, 1)
