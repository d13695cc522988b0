"""How far an image lies from what a model was trained on: the distance to its nearest training images."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from xlip.errors import XLIPError
from xlip.explain.films import film_of
from xlip.files import reading, whole_file
from xlip.identity import digest
from xlip.runtime.encoder import Array, Encoder
from xlip.runtime.inputs import Input, images_of

NEIGHBOURS = 5
"""Training images that a distance is the mean over."""
NEAR = 0.99
"""Share of the validation images that count as near."""
MOST = 20_000
"""Training images that are kept; larger sets are thinned evenly to this number."""
CHECKED = 1_000
"""Images that the threshold is chosen on."""
BATCH = 64
Cosines = Callable[[Array, int], Array]
"""(n, E) and k -> (n, k): cosines to the k nearest training images, in any order."""


@dataclass(frozen=True)
class Reference:
    """The training images, and from which distance on another image is too far from them to be judged."""

    nearest: Cosines
    threshold: float
    chosen_on: str
    identity: str
    """Changes with the images, the weights and the threshold."""

    def distances(self, images: Array) -> Array:
        """1 - mean cosine to the `NEIGHBOURS` nearest: (n, E), L2-normalised -> (n,), 0 to 2."""
        return distances(images, self.nearest)


def distances(images: Array, nearest: Cosines) -> Array:
    """See `Reference.distances` (after Sun et al. 2022, arXiv:2204.06507, who take the k-th neighbour's)."""
    return np.asarray(1 - nearest(images, NEIGHBOURS).mean(1), np.float32)


def among(vectors: Array) -> Cosines:
    """The cosines to rows of a matrix (N, E), L2-normalised."""

    def nearest(images: Array, k: int) -> Array:
        cosines = images @ vectors.T
        return np.asarray(np.partition(cosines, -min(k, len(vectors)), axis=1)[:, -k:], np.float32)

    return nearest


def near_threshold(images: Array, nearest: Cosines, *, themselves: bool) -> float:
    """The distance under which `NEAR` of some images lie.

    Args:
        images: (n, E), L2-normalised.
        nearest: of the training images.
        themselves: whether they are training images; each is then left out of its own neighbours.
    """
    cosines = np.sort(nearest(images, NEIGHBOURS + themselves), axis=1)
    kept = cosines[:, :-1] if themselves and cosines.shape[1] > 1 else cosines
    return float(np.quantile(1 - kept.mean(1), NEAR))


class Hit(Protocol):
    """What a search finds."""

    @property
    def score(self) -> float:
        """The cosine."""


class Vectors(Protocol):
    """What a search index is asked for here."""

    @property
    def identity(self) -> str:
        """Of the checkpoint that made the vectors."""

    def ids(self) -> list[str]:
        """Of the rows."""

    def vector(self, id_: str) -> Array | None:
        """(E,) of a row; None where it has none."""

    def nearest(self, queries: Array, top: int) -> Sequence[Sequence[Hit]]:
        """The best `top` rows for each of (n, E)."""


def reference_in(index: Vectors, encoder: Encoder) -> Reference:
    """A reference from the vectors of a search index, each left out of its own neighbours for the threshold.

    Raises:
        XLIPError: vectors of another checkpoint, or too few.
    """
    if index.identity != encoder.identity:
        raise XLIPError(
            f"reference: an index of checkpoint {index.identity}, the model is {encoder.identity}; embed again"
        )
    ids = index.ids()
    found = [index.vector(id_) for id_ in ids[:: -(-len(ids) // CHECKED) or 1]]
    shown = [one for one in found if one is not None]
    if len(ids) <= NEIGHBOURS or not shown:
        raise XLIPError(f"reference: expected more than {NEIGHBOURS} images in the index, got {len(ids)}")

    def nearest(images: Array, k: int) -> Array:
        return np.array([[hit.score for hit in row] for row in index.nearest(images, k)], np.float32)

    threshold = near_threshold(np.stack(shown).astype(np.float32), nearest, themselves=True)
    words = f"{NEAR:.0%} of {len(shown)} images of the index, each left out, are nearer than {threshold:.3f}"
    return Reference(nearest, threshold, words, digest(index.identity, len(ids), round(threshold, 6)))


def reference_of(source: str, encoder: Encoder, cache: Path) -> Reference:
    """A reference from images: those of the split train where the source has one, the threshold from its split val.

    Without validation images the threshold is chosen on the training images, each left out of its own neighbours.

    Args:
        source: whatever `images_of` takes.
        encoder: the model.
        cache: local folder that keeps the embeddings for the next time.

    Raises:
        XLIPError: too few readable images.
    """
    rows = [(number, str(item.columns.get("split", ""))) for number, item in enumerate(images_of(source))]
    train = [number for number, split in rows if split in ("", "train")]
    val = [number for number, split in rows if split == "val"]
    train, val = train[:: -(-len(train) // MOST) or 1], val[:: -(-len(val) // CHECKED) or 1]
    if len(train) <= NEIGHBOURS:
        raise XLIPError(f"{source}: expected more than {NEIGHBOURS} training images as a reference, got {len(train)}")
    key = digest(encoder.identity, encoder.preprocess, len(rows), len(train), len(val), _first_bytes(source))
    vectors, checked = _kept(cache / f"reference-{key}.npz", lambda: _embedded(source, encoder, train, val))
    themselves = not len(checked)
    shown = vectors[:: -(-len(vectors) // CHECKED)] if themselves else checked
    threshold = near_threshold(shown, among(vectors), themselves=themselves)
    where = f"{len(shown)} {'training images, each left out' if themselves else 'validation images'} of {len(vectors)}"
    words = f"{NEAR:.0%} of {where} training images are nearer than {threshold:.3f}"
    return Reference(among(vectors), threshold, words, key)


def _first_bytes(source: str) -> str:
    """A hash over ids of the first images: another set of equal size has others."""
    found = []
    for item in images_of(source):
        found.append(item.id if isinstance(item.image, bytes) else film_key(item))
        if len(found) == NEIGHBOURS:
            break
    return digest(*found)


def film_key(item: Input) -> str:
    """What an image's file is called and how large it is."""
    path: Any = item.image
    return f"{path} {path.stat().st_size}" if isinstance(path, Path) and path.exists() else str(path)


def _kept(file: Path, make: Callable[[], tuple[Array, Array]]) -> tuple[Array, Array]:
    if file.is_file():
        with reading(file, "remove it; it is then computed anew"), file.open("rb") as raw, np.load(raw) as found:
            return np.asarray(found["train"], np.float32), np.asarray(found["val"], np.float32)
    train, val = make()
    file.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(file) as stream:
        np.savez(stream, train=train.astype(np.float16), val=val.astype(np.float16))
    return train, val


def _embedded(source: str, encoder: Encoder, train: list[int], val: list[int]) -> tuple[Array, Array]:
    wanted = {**dict.fromkeys(train, True), **dict.fromkeys(val, False)}
    parts: dict[bool, list[Array]] = {True: [], False: []}
    for is_train, squares in _batches(source, encoder, wanted):
        parts[is_train].append(encoder.encode_squares(squares))
    empty = np.zeros((0, encoder.width), np.float32)
    if not parts[True]:
        raise XLIPError(f"{source}: none of its training images can be read")
    return np.concatenate(parts[True]), np.concatenate(parts[False] or [empty])


def _batches(source: str, encoder: Encoder, wanted: dict[int, bool]) -> Iterator[tuple[bool, Any]]:
    waiting: dict[bool, list[Any]] = {True: [], False: []}
    for number, item in enumerate(images_of(source)):
        if number not in wanted:
            continue
        try:
            waiting[wanted[number]].append(film_of(item, encoder, given=True).square)
        except XLIPError:
            continue  # what cannot be read was not trained on
        if len(waiting[wanted[number]]) == BATCH:
            yield wanted[number], np.stack(waiting[wanted[number]])
            waiting[wanted[number]] = []
    for is_train, squares in waiting.items():
        if squares:
            yield is_train, np.stack(squares)
