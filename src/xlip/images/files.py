"""Image files of every usual form in, 8-bit grayscale arrays out; and what is stored of them."""

from __future__ import annotations

import io
import os
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from xlip.errors import XLIPError
from xlip.files import open_path
from xlip.images.burned_in import text_lines
from xlip.images.dicom import decode_dicom
from xlip.images.gray import MAX_PIXELS, OUTLIERS, Gray, bomb, central_range, damaged, stretch, to_bytes
from xlip.images.plausible import sampled
from xlip.images.square import shrink
from xlip.notices import notice

MAX_BYTES = 1 << 30
"""A larger file is not read."""
BURNED_IN = "burned-in text"
"""How the notice of writing in a picture begins."""
Look = Literal["no", "decoded", "full"]
"""How writing is looked for in pictures that are no DICOM files."""
_FIRST_BYTES = 1 << 18
_FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "GIF", "WEBP", "PPM", "JPEG2000")
_HARMLESS_INFO = frozenset({
    *("jfif", "jfif_version", "jfif_unit", "jfif_density", "dpi", "progressive", "progression"),
    *("xlip_size", "gamma", "srgb", "chromaticity", "aspect", "interlace"),
})  # fmt: skip
_ENDS = {"PNG": b"IEND\xaeB`\x82", "JPEG": b"\xff\xd9"}
"""Formats that may be stored as they are, and their last bytes: something else may stand behind the picture."""
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, OverflowError, MemoryError, struct.error)


@dataclass(frozen=True, slots=True)
class Stored:
    """An image as it is stored, and what the original was."""

    data: bytes
    width: int
    height: int
    """Pixels of the original, upright."""
    pixel_spacing: tuple[float, float] | None = None
    """Millimetres between rows and columns of the original, where it is a DICOM file that says so."""
    samples: bytes = b""
    """What `plausible.faults` asks of the picture: `sampled`, row by row."""


def decode(source: str | os.PathLike[str] | bytes, *, most_pixels: int = MAX_PIXELS) -> Gray:
    """Decode an image file, or its bytes, to uint8 (H, W).

    PNG, JPEG, TIFF, BMP, GIF, WebP, PPM, JPEG 2000 (EXIF rotation applied; colour to luminance; alpha over black;
    more than 8 bits scaled by the least and the largest stored value) and single-frame DICOM (modality LUT, VOI LUT or
    window, MONOCHROME1 inverted, padding black). Nothing but pixels leaves a DICOM file. An image of more than
    `most_pixels` is refused by its header.

    Raises:
        XLIPError: the file is missing, empty, damaged, too large, not an image, or a multi-frame DICOM.
    """
    name, data = _read(source)
    if data[128:132] != b"DICM":
        with _opened(name, data, most_pixels=most_pixels) as image:
            if image is not None:
                return to_gray(image)
    return decode_dicom(name, data, most_pixels=most_pixels).pixels


def encode(image: Gray, *, lossless: bool = False) -> bytes:
    """Encode (H, W) as a grayscale JPEG of quality 95, or as a PNG where `lossless`."""
    buffer = io.BytesIO()
    if lossless:
        Image.fromarray(image).save(buffer, "PNG")
    else:
        Image.fromarray(image).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def load_for_storage(
    source: str | os.PathLike[str] | bytes, short_side: int, *, lossless: bool = False, writing: Look = "no"
) -> Stored:
    """The bytes to store for an image file, whose pixels were checked by decoding them.

    A plain 8-bit grayscale PNG or JPEG that is small enough is kept byte for byte; anything else (colour, 16 bits,
    DICOM, larger, rotated, or with metadata that might name a patient) becomes a grayscale JPEG, or a PNG where
    `lossless`.

    Args:
        source: a path, or the bytes of a file.
        short_side: pixels; larger images are reduced.
        lossless: PNG instead of JPEG.
        writing: whether burned-in writing is looked for: `full` decodes a JPEG at its full size for it, `decoded` takes
            what was decoded anyway, in which small letters of a large JPEG are gone. In DICOM files it is looked for
            in any case.

    Raises:
        XLIPError: as `decode`.
    """
    name, data = _read(source)
    if data[128:132] != b"DICM":
        with _opened(name, data, smallest=0 if writing == "full" else short_side) as image:
            if image is not None:
                width, height = image.info.get("xlip_size", image.size)
                storable = _storable(image, data, short_side)
                gray: Gray | None = (
                    None if storable and writing == "no" else np.asarray(image) if storable else to_gray(image)
                )
                samples = sampled(image if gray is None else gray)
                if gray is not None and writing != "no":
                    _say_writing(gray)
                if storable or gray is None:
                    return Stored(data, width, height, None, samples)
                width, height = _original_size(image, gray)
                return Stored(encode(shrink(gray, short_side), lossless=lossless), width, height, None, samples)
    found = decode_dicom(name, data)
    height, width = found.pixels.shape
    _say_writing(found.pixels)
    kept = encode(shrink(found.pixels, short_side), lossless=lossless)
    return Stored(kept, width, height, found.pixel_spacing, sampled(found.pixels))


def _say_writing(image: Gray) -> None:
    if lines := text_lines(image):
        notice(f"{BURNED_IN}: {lines} lines of writing in the picture")


def _original_size(image: Image.Image, gray: Gray) -> tuple[int, int]:
    """Width and height before a reduced decoding, after the rotation that EXIF asks for."""
    long, short = sorted(image.info.get("xlip_size", image.size), reverse=True)
    return (long, short) if gray.shape[1] >= gray.shape[0] else (short, long)


def _read(source: str | os.PathLike[str] | bytes) -> tuple[str, bytes]:
    if isinstance(source, bytes):
        name, data = "image bytes", source
    else:
        name = os.fspath(source) if isinstance(source, str | os.PathLike) else str(source)
        try:
            data = _bytes_of(source)
        except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
            reason = getattr(error, "strerror", None) or error
            raise XLIPError(f"{name}: cannot read the image ({reason}); check the path") from error
    if not data:
        raise XLIPError(f"{name}: the file is empty (0 bytes); copy or download it again")
    return name, data


def _bytes_of(path: Any) -> bytes:
    """The bytes of a local path or of an fsspec one; never more than `MAX_BYTES`."""
    local = isinstance(path, Path) or (isinstance(path, str) and "://" not in path)
    with io.BufferedReader(io.FileIO(path)) if local else open_path(path).open("rb") as stream:
        # Asked for a gigabyte at once, Python first reserves as much: several times the cost of reading a small file.
        data: bytes = stream.read(_FIRST_BYTES)
        if len(data) == _FIRST_BYTES:
            data += stream.read(MAX_BYTES + 1 - len(data))
    if len(data) > MAX_BYTES:
        raise XLIPError(f"{path}: expected an image file of at most {MAX_BYTES >> 20} MiB, got more")
    return data


@contextmanager
def _opened(name: str, data: bytes, smallest: int = 0, most_pixels: int = MAX_PIXELS) -> Iterator[Image.Image | None]:
    """The image with its pixels loaded, or None where Pillow does not know the format.

    With `smallest`, a JPEG may come at 1/2, 1/4 or 1/8 of its size, its shorter side not below `smallest`: the decoder
    then skips the frequencies that shrinking would throw away. `image.info["xlip_size"]` keeps the full size.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of bombs at a limit of its own and of odd metadata
        try:
            image = Image.open(io.BytesIO(data), formats=_FORMATS)
        except UnidentifiedImageError:
            yield None
            return
        except Image.DecompressionBombError as error:
            raise bomb(name, "the header promises far more", most_pixels) from error
        except _BROKEN as error:
            raise damaged(name, error) from error
        with image:
            if image.width * image.height > most_pixels:
                raise bomb(name, f"got {image.width} x {image.height}", most_pixels)
            try:
                if smallest:
                    _reduce_early(image, data, smallest)
                image.load()
            except _BROKEN as error:
                raise damaged(name, error) from error
            yield image


def _reduce_early(image: Image.Image, data: bytes, smallest: int) -> None:
    image.info["xlip_size"] = image.size
    if image.format == "JPEG" and image.mode == "L":
        # One that is kept as it is is only checked: at an eighth every coefficient is still read, where damage shows,
        # but few pixels are computed.
        side = 1 if _storable(image, data, smallest) else smallest
        image.draft("L", (side, side))


def _storable(image: Image.Image, data: bytes, short_side: int) -> bool:
    """Whether a file may be kept byte for byte: gray, small, and nothing in it but the picture."""
    return (
        image.format in _ENDS
        and image.mode == "L"
        and min(image.info.get("xlip_size", image.size)) <= short_side
        and _HARMLESS_INFO.issuperset(image.info)
        and all(part.startswith(b"JFIF\0") for _, part in getattr(image, "applist", ()))
        and not getattr(image, "private_chunks", ())
        and data.endswith(_ENDS[image.format])
    )


def to_gray(image: Image.Image) -> Gray:
    """Pixels of a Pillow image, as `decode` gives them for its file."""
    image = _upright(image)
    if image.mode.startswith(("I", "F")):
        values = np.asarray(image).astype(np.float32)
        low, high = central_range(values)
        if (low, high) != (values.min(), values.max()):
            notice(OUTLIERS)
        return to_bytes(stretch(values, low, high))
    if image.has_transparency_data:
        picture = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", picture.size, (0, 0, 0, 255)), picture)
    return np.array(image if image.mode == "L" else image.convert("L"))  # convert and exif_transpose always copy


def _upright(image: Image.Image) -> Image.Image:
    try:
        return image if image.getexif().get(ExifTags.Base.Orientation, 1) == 1 else ImageOps.exif_transpose(image)
    except _BROKEN:
        return image  # unreadable EXIF is no reason to lose good pixels
