"""An encoder of NumPy whose answers a test can work out by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

SIZE, GRID = 32, 4


def by_brightness(squares: np.ndarray) -> np.ndarray:
    """(n, S, S) -> (n, GRID, GRID): mean brightness of each cell, from -1 to 1."""
    cells = squares.reshape(len(squares), GRID, SIZE // GRID, GRID, SIZE // GRID).mean((2, 4))
    return (cells / 127.5 - 1).astype(np.float32)


@dataclass(frozen=True)
class FakeEncoder:
    """Satisfies `xlip.runtime.encoder.Encoder`: an image is its brightest cell, a text whether it denies something.

    Embeddings are (cos, sin) of an angle: bright images and stating texts lie at pi / 2, dark ones and denials at 0.
    """

    has_maps: bool = True
    local_share: float = 0.0
    scale: float = 10.0
    identity: str = "fake"
    image_size: int = SIZE
    preprocess: str = "letterbox"
    width: int = 2
    stated: Mapping[str, float] = field(default_factory=dict)
    """Text -> share of the way from denial to statement; others by whether they begin with 'no'."""
    passes: list[int] = field(default_factory=list)
    """Images of each pass."""

    def encode_squares(self, squares: np.ndarray) -> np.ndarray:
        assert squares.dtype == np.uint8
        self.passes.append(len(squares))
        return _at((by_brightness(squares).max((1, 2)) + 1) / 2)

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        return _at(np.array([self.stated.get(text, 0.0 if "no" in text.lower().split() else 1.0) for text in texts]))

    def maps(self, squares: np.ndarray, queries: np.ndarray) -> np.ndarray:
        assert self.has_maps
        return 8 * by_brightness(squares)[:, None] * queries[:, 1][None, :, None, None].astype(np.float32)

    def encode_and_map(self, squares: np.ndarray, queries: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self.encode_squares(squares), self.maps(squares, queries)


def _at(shares: np.ndarray) -> np.ndarray:
    angles = shares * np.pi / 2
    return np.stack([np.cos(angles), np.sin(angles)], -1).astype(np.float32)
