"""How far evaluated images lie from the training images: the distance that `xlip triage` goes by."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from xlip.evaluate.measured import MeasuredExport, arrays_of
from xlip.explain.reference import (
    CHECKED,
    MOST,
    NEAR,
    Reference,
    among,
    near_threshold,
    reference_in,
    reference_of,
)
from xlip.files import cache_folder
from xlip.identity import digest
from xlip.results.abstention import Distance
from xlip.results.result import Array
from xlip.runtime.encoder import Encoder

if TYPE_CHECKING:
    from xlip.evaluate.adapter import ImageTextModel


def distances_from(source: str, model: ImageTextModel | Encoder, images: Array) -> tuple[Array | None, Distance | None]:
    """The distance of each image (n, E), L2-normalised, and what it is from; nothing where `source` is ''.

    Args:
        source: training images, or a search index of them, as `xlip triage --reference` takes.
        model: the one that made `images`.
        images: its embeddings.

    Raises:
        XLIPError: too few readable images, or an index of another checkpoint.
    """
    if not source:
        return None, None
    encoder = arrays_of(model)
    # An index of an exported model has the identity of its checkpoint, whose vectors these are.
    return _measured(_opened(source, encoder.model if isinstance(encoder, MeasuredExport) else encoder), images)


def _measured(reference: Reference, images: Array) -> tuple[Array, Distance]:
    steps = range(0, len(images), 1024)  # a distance looks at every training image: bounded memory for any n
    found = np.concatenate([reference.distances(images[start : start + 1024]) for start in steps]).astype(np.float64)
    far = float((found > reference.threshold).mean())
    return found, Distance(
        reference=reference.identity, threshold=float(reference.threshold), chosen_on=reference.chosen_on, far=far
    )


def distances_among(train: Array, checked: Array | None, images: Array, identity: str) -> tuple[Array, Distance]:
    """The same from embeddings that are there already, all L2-normalised.

    Args:
        train: (N, E) of the training images.
        checked: (m, E) of validation images, for the threshold; without them it is chosen on the training images.
        images: (n, E).
        identity: of the weights and the training images.
    """
    kept = train[:: -(-len(train) // MOST)]
    themselves = checked is None or not len(checked)
    shown = kept if checked is None or themselves else checked
    shown = shown[:: -(-len(shown) // CHECKED)]
    threshold = near_threshold(shown, among(kept), themselves=themselves)
    where = "training images, each left out" if themselves else "validation images"
    words = f"{NEAR:.0%} of {len(shown)} {where} of {len(kept)} training images are nearer than {threshold:.3f}"
    return _measured(Reference(among(kept), threshold, words, digest(identity, len(kept), len(shown))), images)


def _opened(source: str, encoder: Encoder) -> Reference:
    if (Path(source) / "index.json").is_file():
        from xlip.search.open import open_store

        return reference_in(open_store(source), encoder)
    cache = cache_folder()
    if cache is not None:
        return reference_of(source, encoder, cache / "references")
    with tempfile.TemporaryDirectory() as folder:  # a user without a home keeps nothing
        return reference_of(source, encoder, Path(folder))
