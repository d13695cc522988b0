"""Images of any source as films to explain: under an id that names no patient, with the square that a model sees."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xlip.errors import XLIPError
from xlip.files import open_path, reading
from xlip.images.any_form import gray
from xlip.images.gray import Gray
from xlip.images.square import fit
from xlip.runtime.encoder import Encoder
from xlip.runtime.inputs import Input

ID_DIGITS = 16
"""Of a file's SHA-256 that make its id."""


@dataclass(frozen=True)
class Film:
    """One decoded image."""

    id: str
    pixels: Gray
    """(H, W)."""
    square: Gray
    """(S, S), the encoder's."""
    columns: Mapping[str, Any]
    """What the source knows of it."""


def film_id(item: Input, *, given: bool = False) -> str:
    """The id of an image: that of a prepared set, or the one that the user's table gives; else the hash of its file.

    Names of files and folders may hold a patient's name or number, so they are never used.

    Args:
        item: an image.
        given: whether the user named a column of ids.

    Raises:
        XLIPError: the file cannot be read.
    """
    if given or isinstance(item.image, bytes) or item.image is None:
        return item.id
    with reading(item.image), open_path(item.image).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:ID_DIGITS]


def film_of(item: Input, encoder: Encoder, *, given: bool = False) -> Film:
    """Decode an image.

    Raises:
        XLIPError: it cannot be read.
    """
    if item.image is None:
        raise XLIPError(f"{item.id}: a report without an image")
    id_, pixels = film_id(item, given=given), gray(item.image)
    return Film(id_, pixels, fit(pixels, encoder.image_size, encoder.preprocess), item.columns)


def refused_id(row: str) -> str:
    """What stands for a file that is no film: a hash, since its path may name a patient too."""
    return row if row.startswith("file/") else hashlib.sha256(row.encode()).hexdigest()[:ID_DIGITS]


def fault_of(error: Exception, item: Input) -> str:
    """What is wrong with an image, without the name of its file."""
    if not isinstance(item.image, str | Path):
        return str(error)
    return str(error).replace(str(item.image), "film").replace(item.id, "film")


def file_name(id_: str, words: str) -> str:
    """A name for files about an image and words, the same in every run; different ids and words have different ones."""
    parts = []
    for text, longest in ((id_, 48), (words, 32)):
        plain = re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-")[:longest]
        tail = (
            ""
            if "-" not in text and plain == text.replace(" ", "-")
            else "-" + hashlib.sha256(text.encode()).hexdigest()[:6]
        )
        parts.append(plain + tail)
    return "_".join(parts)


def several(sources: list[str]) -> Iterator[str]:
    """The sources, each checked to be there before the first is read.

    Raises:
        XLIPError: one is not there.
    """
    for source in sources:
        if not open_path(source).exists():
            raise XLIPError(f"{source}: expected an image, a folder, a table or a prepared set; nothing is there")
    yield from sources


def is_file(path: str) -> bool:
    """Whether a local file of that name is there; a long text is no name."""
    try:
        return Path(path).is_file()
    except OSError:
        return False
