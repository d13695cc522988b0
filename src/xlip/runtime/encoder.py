"""What the commands that use a model know of it: arrays in, arrays out, whatever computes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from xlip.errors import XLIPError
from xlip.images.gray import Gray

Array = np.ndarray[Any, np.dtype[np.float32]]
IN_MEMORY = "in memory"
"""The identity of a model that no file stands for; what it computes is never cached."""


class Squared(Protocol):
    """Whatever takes images as squares."""

    @property
    def image_size(self) -> int:
        """S, pixels of a side."""

    @property
    def preprocess(self) -> str:
        """The way to a square."""


def preprocessing_id(model: Squared) -> str:
    """What a number is printed with (docs/protocols.md, preprocessing): the way to a square, and its side in pixels."""
    return f"{model.preprocess}/{model.image_size}"


def no_map(identity: str) -> XLIPError:
    """The error for a map that is asked of a model without a local head."""
    return XLIPError(f"{identity}: this model has no local head (model.local), so no map of its own")


class Encoder(Protocol):
    """Images and texts in one space. A checkpoint (by torch) and an exported folder (without) are both one.

    `embed`, `search`, `explain`, `serve`, `triage` and `pacs` take an encoder and never ask what is behind it.
    """

    @property
    def identity(self) -> str:
        """Hash of the weights: vectors of two identities are never compared."""

    @property
    def image_size(self) -> int:
        """S: pixels of a side of the square that is encoded."""

    @property
    def preprocess(self) -> str:
        """How an image becomes that square: one of `xlip.images.square.PREPROCESS`."""

    @property
    def width(self) -> int:
        """E: numbers of an embedding."""

    @property
    def scale(self) -> float:
        """What cosines are multiplied by before a softmax."""

    @property
    def local_share(self) -> float:
        """How much of the map's answer is added to a kind's logit; 0 where the model has no map."""

    @property
    def has_maps(self) -> bool:
        """Whether `maps` gives the model's own response; else only occlusion can say where."""

    def encode_squares(self, squares: Gray) -> Array:
        """Uint8 (n, S, S) -> (n, E), L2-normalised."""

    def encode_texts(self, texts: Sequence[str]) -> Array:
        """Texts -> (n, E), L2-normalised.

        Raises:
            XLIPError: a text that the model's vocabulary cannot represent.
        """

    def maps(self, squares: Gray, queries: Array) -> Array:
        """How much each place speaks for what each text names, in logits: what AttMIM hides by.

        Args:
            squares: uint8 (n, S, S).
            queries: (K, E), text embeddings: positive prompts, say; a denial is no query, it names the same finding.

        Returns:
            (n, K, h, w).

        Raises:
            XLIPError: a model without a local head.
        """

    def encode_and_map(self, squares: Gray, queries: Array) -> tuple[Array, Array]:
        """`encode_squares` and `maps` of the same images, in one pass where the model allows it.

        Raises:
            XLIPError: a model without a local head.
        """
