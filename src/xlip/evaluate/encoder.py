"""A model of torch as the commands that use one see it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from xlip.batches.pixels import as_pixels
from xlip.evaluate.adapter import ImageTextModel
from xlip.evaluate.map_model import with_maps
from xlip.images.gray import Gray
from xlip.models.fast import FastEncoder
from xlip.runtime.encoder import Array, no_map


@dataclass(frozen=True)
class TorchEncoder:
    """An `Encoder` over any model that `load_model` gives."""

    model: ImageTextModel
    fast: FastEncoder | None = None
    """What encodes the images where many are to be encoded; maps and texts stay in fp32."""

    @property
    def numbers(self) -> str:
        """The number format that images are encoded in."""
        return self.fast.format if self.fast else "fp32"

    @property
    def identity(self) -> str:
        """Hash of the weights, or hub id."""
        return self.model.identity

    @property
    def image_size(self) -> int:
        """S, pixels."""
        return self.model.image_size

    @property
    def preprocess(self) -> str:
        """The way to a square."""
        return self.model.preprocess

    @property
    def width(self) -> int:
        """E."""
        return int(self.encode_texts(["a chest radiograph."]).shape[1])

    @property
    def scale(self) -> float:
        """exp(logit scale)."""
        return self.model.scale()

    @property
    def local_share(self) -> float:
        """Of the checkpoint; 0 for other architectures."""
        return mapped.local_share if (mapped := with_maps(self.model)) is not None else 0.0

    @property
    def has_maps(self) -> bool:
        """Whether there is a local head."""
        return with_maps(self.model) is not None

    def encode_squares(self, squares: Gray) -> Array:
        """Uint8 (n, S, S) -> (n, E)."""
        encode = self.fast or self.model.encode_pixels
        return np.asarray(encode(as_pixels(squares)).cpu().numpy(), np.float32)

    def encode_texts(self, texts: Sequence[str]) -> Array:
        """Texts -> (n, E)."""
        return np.asarray(self.model.encode_text(list(texts)).numpy(), np.float32)

    def maps(self, squares: Gray, queries: Array) -> Array:
        """Uint8 (n, S, S), (K, E) -> (n, K, h, w), logits.

        Raises:
            XLIPError: a model without a local head.
        """
        if (mapped := with_maps(self.model)) is None:
            raise no_map(self.identity)
        return np.asarray(mapped.maps(as_pixels(squares), torch.from_numpy(queries)).numpy(), np.float32)

    def encode_and_map(self, squares: Gray, queries: Array) -> tuple[Array, Array]:
        """Uint8 (n, S, S), (K, E) -> (n, E) and (n, K, h, w), from one pass.

        Raises:
            XLIPError: a model without a local head.
        """
        if (mapped := with_maps(self.model)) is None:
            raise no_map(self.identity)
        vectors, maps = mapped.encode_and_map(as_pixels(squares), torch.from_numpy(queries))
        return np.asarray(vectors.numpy(), np.float32), np.asarray(maps.numpy(), np.float32)
