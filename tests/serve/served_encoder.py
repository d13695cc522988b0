"""A model of NumPy alone whose answers a test can work out: brightness of the left and of the right half."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from threading import current_thread
from time import sleep
from typing import Any

import numpy as np

from xlip.errors import XLIPError

SIZE, WIDTH = 64, 8


@dataclass
class FakeEncoder:
    """Satisfies `xlip.runtime.encoder.Encoder`."""

    identity: str = "fake-weights"
    image_size: int = SIZE
    preprocess: str = "letterbox"
    width: int = WIDTH
    scale: float = 10.0
    local_share: float = 0.0
    has_maps: bool = True
    delay: float = 0.0
    """Seconds that a batch takes."""
    batches: list[int] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    threads: set[str] = field(default_factory=set)

    def encode_squares(self, squares: Any) -> Any:
        self.batches.append(len(squares))
        self.threads.add(current_thread().name)
        sleep(self.delay)
        shares = squares.astype(np.float32) / 255
        left, right = shares[:, :, : SIZE // 2].mean((1, 2)), shares[:, :, SIZE // 2 :].mean((1, 2))
        rest = shares[:, :: SIZE // 5, 0][:, : WIDTH - 3]
        return unit(np.concatenate([left[:, None], right[:, None], np.ones((len(squares), 1)), rest], axis=1))

    def encode_texts(self, texts: Sequence[str]) -> Any:
        if any("unheard-of" in text for text in texts):
            raise XLIPError("text: a word that the vocabulary does not have")
        self.texts += texts
        return np.stack([text_vector(text) for text in texts])

    def maps(self, squares: Any, directions: Any) -> Any:
        cells = squares.reshape(len(squares), 8, SIZE // 8, 8, SIZE // 8).mean((2, 4)) / 32
        return (cells[:, None] * (1 + directions[None, :, :1, None])).astype(np.float32)

    def encode_and_map(self, squares: Any, queries: Any) -> Any:
        return self.encode_squares(squares), self.maps(squares, queries)


def text_vector(text: str) -> Any:
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")
    return unit(np.random.default_rng(seed).normal(size=(1, WIDTH)))[0]


def unit(vectors: Any) -> Any:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
