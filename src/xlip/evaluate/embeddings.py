"""Image embeddings, computed in batches and kept on disk: a second prompt set costs seconds."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import count, islice
from pathlib import Path
from shutil import rmtree
from typing import TYPE_CHECKING

import numpy as np

from xlip.errors import XLIPError
from xlip.evaluate.cases import Case, Cases, images
from xlip.evaluate.measured import arrays_of
from xlip.files import cache_folder, write_whole
from xlip.images.gray import Gray
from xlip.results.result import Array
from xlip.runtime.encoder import IN_MEMORY, Encoder, Squared, preprocessing_id

if TYPE_CHECKING:
    from xlip.evaluate.adapter import ImageTextModel

VERSION = 3
"""Of the file and of how images are decoded: raise it where either changes."""
PART = 4096
"""Cases of a file of a call that is not done yet."""


@dataclass(frozen=True)
class Further:
    """Something else to compute from each image while its pixels are there."""

    compute: Callable[[Gray], tuple[Array, Array]]
    """Uint8 (n, S, S) -> the embeddings (n, E), and (n, X): both, as one pass may give them."""
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
    model: ImageTextModel | Encoder,
    cases: Cases,
    *,
    batch_size: int = 64,
    cache: bool = True,
    further: Further | None = None,
) -> Embedded:
    """Embed every image of a set, or read the embeddings that an earlier call kept.

    Images are decoded batch by batch; what stays in memory is n x E numbers and what is known of the cases. Images that
    cannot be read go to `cases.dropped`. The file in `cache_folder()` is named after checkpoint, data and
    preprocessing; models and cases that exist only in memory are computed anew. Until it is whole, every `PART` cases
    are a file beside it, so that a call goes on where another was stopped. `further` is computed in the same pass and
    kept beside them.

    Raises:
        XLIPError: no readable image.
    """
    encoder = arrays_of(model)
    file = _cache_file(encoder, cases, further.key if further else "") if cache else None
    found = _read(file, cases) if file else None
    if found is None:
        before = len(cases.dropped)
        parts = file.with_suffix(".parts") if file else None
        found = _compute(encoder, cases, batch_size, further, parts)
        if file and parts:
            _write(file, found, cases.dropped[before:])
            rmtree(parts, ignore_errors=True)
    if not found.cases:
        first = f"; first: {cases.dropped[0][1]}" if cases.dropped else ""
        raise XLIPError(f"{cases.name}: no image could be read ({len(cases.dropped)} dropped{first})")
    return found


def square_batches(model: Squared, cases: Cases, batch_size: int) -> Iterator[tuple[list[Case], Gray]]:
    """Cases with their images, uint8 (n, S, S), n at most `batch_size`; the unreadable go to `cases.dropped`."""
    readable = images(cases.items, model.image_size, model.preprocess, cases.dropped)
    while chunk := list(islice(readable, batch_size)):
        yield [case for case, _ in chunk], np.stack([image for _, image in chunk])


def _compute(encoder: Encoder, cases: Cases, batch_size: int, further: Further | None, parts: Path | None) -> Embedded:
    stream = iter(cases.items)
    kept: list[Case] = []
    rows: list[Array] = []
    others: list[Array] = []
    for number in count():
        file = parts / f"{number:05d}.safetensors" if parts else None
        found = _finished(file, stream, cases.dropped) if file else None
        if found is None:
            found = _part(encoder, replace(cases, items=islice(stream, PART)), batch_size, further, file)
        if not found.read:
            break
        kept += found.cases
        rows.append(found.images)
        others.append(found.further)
    filled = [number for number, one in enumerate(rows) if len(one)]
    nothing = np.zeros((0, 0), np.float32)
    embeddings, more = (
        np.concatenate([part[number] for number in filled]) if filled else nothing for part in (rows, others)
    )
    return Embedded(kept, embeddings, more)


@dataclass(frozen=True)
class _Part(Embedded):
    """At most `PART` cases one after the other."""

    read: int
    """How many they were with those that could not be read; 0 = the end."""


def _part(encoder: Encoder, cases: Cases, batch_size: int, further: Further | None, file: Path | None) -> _Part:
    """Embed what `cases` still gives, and keep it in a file where one is named."""
    kept: list[Case] = []
    rows: list[Array] = []
    others: list[Array] = []
    before = len(cases.dropped)
    for chunk, squares in square_batches(encoder, cases, batch_size):
        kept += [case.without_pixels() for case in chunk]
        vectors, more_of = further.compute(squares) if further else (encoder.encode_squares(squares), None)
        rows.append(vectors)
        others.append(np.zeros((len(squares), 0), np.float32) if more_of is None else more_of)
    dropped = cases.dropped[before:]
    nothing = np.zeros((0, 0), np.float32)
    embeddings, more = (np.concatenate(part) if part else nothing for part in (rows, others))
    found = _Part(kept, embeddings, more, len(kept) + len(dropped))
    if file and found.read:
        _write(file, found, dropped)
    return found


def _finished(file: Path, stream: Iterator[Case], dropped: list[tuple[str, str]]) -> _Part | None:
    """A part that an earlier call kept, its cases taken from the stream undecoded; None where there is none."""
    stored = _stored(file)
    if stored is None:
        return None
    wanted = set(stored.ids)
    passed = list(map(Case.without_pixels, islice(stream, len(stored.ids) + len(stored.dropped))))
    dropped.extend(stored.dropped)
    return _Part([case for case in passed if case.study_id in wanted], stored.images, stored.further, len(passed))


def _cache_file(model: Encoder, cases: Cases, further: str) -> Path | None:
    """Where embeddings are kept; None where they cannot be: without a home, or without safetensors, which comes with
    torch alone.
    """
    folder = cache_folder()
    if model.identity == IN_MEMORY or cases.origin is None or folder is None or not _keeps():
        return None
    parts = [VERSION, model.identity, preprocessing_id(model), cases.origin.fingerprint(), further]
    name = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]
    return folder / "embeddings" / f"{name}.safetensors"


def _keeps() -> bool:
    try:
        import safetensors  # noqa: F401
    except ImportError:
        return False
    return True


@dataclass(frozen=True)
class _Stored:
    """What a file holds: the readable cases' ids and embeddings, and what could not be read."""

    ids: list[str]
    images: Array
    further: Array
    dropped: list[tuple[str, str]]


def _stored(file: Path) -> _Stored | None:
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
    return _Stored(ids, embeddings, further, gone) if whole else None


def _read(file: Path, cases: Cases) -> Embedded | None:
    """The whole set as an earlier call kept it; None where there is nothing, or nothing whole."""
    found = _stored(file)
    if found is None:
        return None
    wanted = set(found.ids)
    assert cases.origin is not None
    kept = [case.without_pixels() for case in cases.origin.cases(images=False) if case.study_id in wanted]
    if [case.study_id for case in kept] != found.ids:
        return None  # ids that are not unique: read the images again
    cases.dropped.extend(found.dropped)
    return Embedded(kept, found.images, found.further)


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
