"""`xlip search`: from words, an image or a row of the index to the rows that are most like it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from xlip.errors import XLIPError
from xlip.images.any_form import square
from xlip.images.gray import Gray
from xlip.runtime.encoder import Array, Encoder
from xlip.search.store import FINDABLE, IMAGES, REPORTS, Hit, Store, facts_of

MOST = 10_000
"""Hits of a search."""
MORE = 4
"""How many times as many rows are asked for where equal reports are to count once."""


@dataclass(frozen=True)
class SearchConfig:
    """`xlip search`."""

    index: str
    """Folder (or URL) that `xlip embed` wrote."""
    text: str = ""
    """Words to look for."""
    against: str = ""
    """Words that speak against a hit: --text "pneumothorax" --against "chest tube"."""
    image: str = ""
    """An image (PNG, JPEG, DICOM ...) to find the like of."""
    like: str = ""
    """The id of a row to find the like of; needs no model."""
    find: str = "images"
    """images, or reports: those whose words fit best, each text once."""
    where: str = ""
    """Condition on the columns, such as "view = 'PA' and age > 60"."""
    top: int = 20
    """Hits that are shown."""
    model: str = ""
    """Default: the one that made the index."""
    html: str = ""
    """Page to write, with pictures, reports and maps."""
    out: str = ""
    """CSV file to write."""


@dataclass(frozen=True)
class Found:
    """What a search found."""

    hits: list[Hit]
    find: str
    asked: str
    """The question in words."""
    query: Gray | None = None
    """The square (S, S) of an image that was asked with."""
    fitting: list[str] = field(default_factory=list)
    """The text that a map over each hit (or, for reports, over the query) would show; '' for none."""


def search(config: SearchConfig, store: Store, open_encoder: Callable[[], Encoder]) -> Found:
    """The rows that fit best, best first.

    Args:
        config: see `SearchConfig`.
        store: the index.
        open_encoder: loads the model, which a search by `like` does not need.

    Raises:
        XLIPError: not exactly one of text, image and like; a model that did not make the index; an unusable image,
            filter or id.
    """
    _check(config)
    if config.like:
        vector = store.vector(config.like) if config.find == IMAGES else _either(store, config.like)
        if vector is None:
            raise XLIPError(f"{config.index}: no row {config.like!r} with a vector to compare; `xlip index` lists ids")
        return _answer(config, store, vector, f"like {config.like}", None)
    encoder = open_encoder()
    store.facts.check(facts_of(encoder), config.index)
    if config.image:
        query = square(config.image, encoder.image_size, encoder.preprocess)
        vector = encoder.encode_squares(query[None])[0]
        return _answer(config, store, _less(vector, config, encoder), f"like {Path(config.image).name}", query)
    vector = encoder.encode_texts([config.text])[0]
    return _answer(config, store, _less(vector, config, encoder), config.text, None)


def _check(config: SearchConfig) -> None:
    given = [name for name in ("text", "image", "like") if getattr(config, name).strip()]
    if len(given) != 1:
        raise XLIPError(
            f"search: expected exactly one of --text, --image and --like, got {' and '.join(given) or 'none'}"
        )
    if config.find not in FINDABLE:
        raise XLIPError(f"find: expected one of {', '.join(FINDABLE)}, got {config.find!r}")
    if not 1 <= config.top <= MOST:
        raise XLIPError(f"top: expected 1 to {MOST}, got {config.top}")
    if config.against and config.like:
        raise XLIPError("search: --against needs --text or --image; --like compares two rows as they are")


def _either(store: Store, id_: str) -> Array | None:
    """The vector of a row's image, or of its report where it has no image."""
    image = store.vector(id_)
    return store.vector(id_, REPORTS) if image is None else image


def _less(vector: Array, config: SearchConfig, encoder: Encoder) -> Array:
    """A query less what speaks against it; the scores are then differences of two cosines."""
    if not config.against:
        return vector
    return np.asarray(vector - encoder.encode_texts([config.against])[0], np.float32)


def _answer(config: SearchConfig, store: Store, vector: Array, asked: str, query: Gray | None) -> Found:
    without = [config.like] if config.like else []
    once = config.find == REPORTS
    wanted = config.top * (MORE if once else 1)
    (hits,) = store.nearest(vector[None], wanted, config.where, config.find, without)
    if once:
        # A text that hundreds of normal films share would fill the page.
        hits = list({str(hit.columns.get("report", hit.id)): hit for hit in reversed(hits)}.values())
        hits.sort(key=lambda hit: (-hit.score, hit.row))
    hits = hits[: config.top]
    words = asked + (f", against {config.against}" if config.against else "")
    return Found(hits, config.find, words, query, _fitting(config, hits))


def _fitting(config: SearchConfig, hits: Sequence[Hit]) -> list[str]:
    if config.find == REPORTS and config.image:
        return [str(hit.columns.get("report", "")) for hit in hits]
    return [config.text if config.find == IMAGES else "" for _ in hits]
