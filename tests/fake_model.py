"""A model of images and texts whose embeddings a test chooses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor
from torch.nn import functional as F

SIZE = 32


def brightness(pixels: Tensor) -> Tensor:
    """(n, 1, S, S) -> (n, 2): mean and spread, so that equal images lie together."""
    flat = pixels.flatten(1)
    return torch.stack([flat.mean(1), flat.std(1)], 1)


def by_length(text: str) -> list[float]:
    return [1.0, len(text) / 50]


@dataclass(frozen=True)
class FakeModel:
    """Satisfies `xlip.evaluate.adapter.ImageTextModel`."""

    image: Callable[[Tensor], Tensor] = brightness
    text: Callable[[str], Sequence[float]] = by_length
    patches: Callable[[Tensor], Tensor] | None = None
    identity: str = "fake"
    image_size: int = SIZE
    preprocess: str = "letterbox"
    logit_scale: float = 10.0
    calls: list[int] = field(default_factory=list)
    """Images of each pass through `encode_pixels`."""

    def encode_pixels(self, pixels: Tensor) -> Tensor:
        self.calls.append(len(pixels))
        return F.normalize(self.image(pixels).float(), dim=-1)

    def encode_patches(self, pixels: Tensor) -> Tensor:
        assert self.patches is not None
        return F.normalize(self.patches(pixels).float(), dim=-1)

    def encode_text(self, texts: Sequence[str]) -> Tensor:
        return F.normalize(torch.tensor([list(self.text(text)) for text in texts]).float(), dim=-1)

    def scale(self) -> float:
        return self.logit_scale

    def with_preprocess(self, preprocess: str) -> FakeModel:
        return replace(self, preprocess=preprocess)
