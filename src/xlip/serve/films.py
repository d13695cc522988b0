"""From the bytes of a request to a film: known by its first bytes, checked by its header, then decoded."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from xlip.errors import XLIPError
from xlip.images.files import decode
from xlip.images.gray import Gray
from xlip.images.header import header_of
from xlip.images.square import fit
from xlip.runtime.quality import judge
from xlip.serve.problems import RequestError
from xlip.sources.radiograph import view_said

PNG, JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
SCAN = b"\xff\xda"
MOST_SCANS = 64
"""Parts of a progressive JPEG: each costs as much as a whole picture, and a small file can hold thousands."""
SHOWN = 1024
"""Largest side of a film that the page shows, pixels."""


@dataclass(frozen=True)
class Film:
    """One image of a request."""

    sha256: str
    """Of its bytes as they came, for the audit log."""
    gray: Gray
    """(H, W)."""
    square: Gray
    """(S, S), as the model sees it."""
    warning: str
    """Why it is perhaps no frontal chest film; empty where nothing speaks against it."""
    data: bytes = field(default=b"", repr=False)
    """As they came."""


def read_film(data: bytes, most_pixels: int, size: int, preprocess: str) -> Film:
    """Decode one image.

    Args:
        data: a PNG, JPEG or DICOM file; a name that came with it is of no interest.
        most_pixels: a larger one is refused before it is decoded.
        size: S.
        preprocess: how it becomes the square.

    Raises:
        RequestError: another format, damaged, or too large.
    """
    kind = _format(data)
    if kind == "JPEG" and data.count(SCAN) > MOST_SCANS:
        raise RequestError("unreadable-image", f"expected a JPEG of at most {MOST_SCANS} scans; a decompression bomb?")
    try:
        gray = decode(data, most_pixels=most_pixels)
    except XLIPError as error:
        said = str(error).removeprefix("image bytes: ")
        raise RequestError("too-large" if "bomb" in said else "unreadable-image", said) from None
    warning = judge(gray, _view(data) if kind == "DICOM" else "")
    return Film(hashlib.sha256(data).hexdigest(), gray, fit(gray, size, preprocess), warning, data)


def is_dicom(data: bytes) -> bool:
    """Whether a file says that it is DICOM."""
    return data[128:132] == b"DICM"


def _view(data: bytes) -> str:
    """What the header says of the view; nothing where it cannot be read, though the pixels can."""
    try:
        header = header_of(data)
    except XLIPError:
        return ""
    return view_said(header) if header else ""


def shown(film: Film, preprocess: str) -> Gray:
    """The film as the page shows it: the model's square, so that maps lie on it, at the film's own resolution."""
    return fit(film.gray, max(len(film.square), min(SHOWN, max(film.gray.shape))), preprocess)


def _format(data: bytes) -> str:
    if not data:
        raise RequestError("no-image", "the image is empty (0 bytes)")
    # DICOM first: its preamble may hold the first bytes of another format, and decoders look for DICM too.
    if is_dicom(data):
        return "DICOM"
    if data.startswith(PNG):
        return "PNG"
    if data.startswith(JPEG):
        return "JPEG"
    raise RequestError("unsupported-image", "expected the bytes of a PNG, JPEG or DICOM file (with its preamble)")
