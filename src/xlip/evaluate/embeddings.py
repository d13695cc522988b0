"""Image embeddings, computed in batches and kept on disk: a second prompt set costs seconds."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from torch import Tensor

from xlip.batches.pixels import as_pixels
from xlip.errors import XLIPError
from xlip.evaluate.adapter import IN_MEMORY, ImageTextModel, preprocessing_id
from xlip.evaluate.cases import Case, Cases, images
from xlip.files import cache_folder, write_whole
from xlip.results.result import Array

VERSION = 3
"""Of the file and of how images are decoded: raise it where either changes."""


@dataclass(frozen=True)
class Further:
    """Something else to compute from each image while its pixels are there."""

    compute: Callable[[Tensor], Tensor]
    """(n, 1, S, S) -> (n, X)."""
    key: str
    """Equal for equal computations with one model."""


@dataclass(frozen=True)
class Embedded:
    """The readable cases of a set, without their pixels, and where they lie in the joint space."""

    cases: list[Case]
    images: Array
    """(n, E) float32, L2-normalised."""
    further: Array
    """(n, X) float32: what `further` of `embed` made of the pixels; X = 0 without it."""


def embed(
    model: ImageTextModel,
    cases: Cases,
    *,
    batch_size: int = 64,
    cache: bool = True,
    further: Further | None = None,
) -> Embedded:
    """Embed every image of a set, or read the embeddings that an earlier call kept.

    Images are decoded batch by batch; what stays in memory is n x E numbers and what is known of the cases. Images that
    cannot be read go to `cases.dropped`. The file in `cache_folder()` is named after checkpoint, data and
    preprocessing; models and cases that exist only in memory are computed anew. `further` is computed in the same pass
    and kept beside them.

    Raises:
        XLIPError: no readable image.
    """
    file = _cache_file(model, cases, further.key if further else "") if cache else None
    found = _read(file, cases) if file else None
    if found is None:
        before = len(cases.dropped)
        found = _compute(model, cases, batch_size, further)
        if file:
            _write(file, found, cases.dropped[before:])
    if not found.cases:
        first = f"; first: {cases.dropped[0][1]}" if cases.dropped else ""
        raise XLIPError(f"{cases.name}: no image could be read ({len(cases.dropped)} dropped{first})")
    return found


def pixel_batches(model: ImageTextModel, cases: Cases, batch_size: int) -> Iterator[tuple[list[Case], Tensor]]:
    """Cases with their images (n, 1, S, S) in [0, 1], n at most `batch_size`; the unreadable go to `cases.dropped`."""
    readable = images(cases.items, model.image_size, model.preprocess, cases.dropped)
    while chunk := list(islice(readable, batch_size)):
        yield [case for case, _ in chunk], as_pixels(np.stack([image for _, image in chunk]))


def _compute(model: ImageTextModel, cases: Cases, batch_size: int, further: Further | None) -> Embedded:
    kept: list[Case] = []
    rows, others = [], []
    for chunk, pixels in pixel_batches(model, cases, batch_size):
        kept += [case.without_pixels() for case in chunk]
        rows.append(model.encode_pixels(pixels).numpy())
        others.append(further.compute(pixels).numpy() if further else np.zeros((len(pixels), 0), np.float32))
    nothing = np.zeros((0, 0), np.float32)
    return Embedded(kept, np.concatenate(rows) if rows else nothing, np.concatenate(others) if others else nothing)


def _cache_file(model: ImageTextModel, cases: Cases, further: str) -> Path | None:
    folder = cache_folder()
    if model.identity == IN_MEMORY or cases.origin is None or folder is None:
        return None
    parts = [VERSION, model.identity, preprocessing_id(model), cases.origin.fingerprint(), further]
    name = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]
    return folder / "embeddings" / f"{name}.safetensors"


def _read(file: Path, cases: Cases) -> Embedded | None:
    """What `_write` wrote; None where there is nothing, or nothing whole."""
    from safetensors import SafetensorError, safe_open

    if not file.is_file():
        return None
    try:
        with safe_open(str(file), framework="np") as stored:
            embeddings, further = stored.get_tensor("images"), stored.get_tensor("further")
            notes = stored.metadata()
        ids, gone = json.loads(notes["study_ids"]), [(row, reason) for row, reason in json.loads(notes["dropped"])]
        whole = notes["checksum"] == _checksum(embeddings, further, notes["study_ids"], notes["dropped"])
    except (SafetensorError, OSError, ValueError, KeyError, TypeError):
        return None
    if not whole:
        return None
    wanted = set(ids)
    assert cases.origin is not None
    kept = [case.without_pixels() for case in cases.origin.cases(images=False) if case.study_id in wanted]
    if [case.study_id for case in kept] != ids:
        return None  # ids that are not unique: read the images again
    cases.dropped.extend(gone)
    return Embedded(kept, embeddings, further)


def _write(file: Path, found: Embedded, dropped: list[tuple[str, str]]) -> None:
    """Whole or not at all; an unwritable folder is no reason to lose an evaluation."""
    from safetensors.numpy import save

    notes = {"study_ids": json.dumps([case.study_id for case in found.cases]), "dropped": json.dumps(dropped)}
    notes["checksum"] = _checksum(found.images, found.further, *notes.values())
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, save({"images": found.images, "further": found.further}, notes))


def _checksum(images: Array, further: Array, *notes: str) -> str:
    found = hashlib.sha256(np.ascontiguousarray(images).tobytes() + np.ascontiguousarray(further).tobytes())
    for note in notes:
        found.update(note.encode())
    return found.hexdigest()
