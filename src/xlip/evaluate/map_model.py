"""A model that can say where: what evaluators ask of one that has a local head."""

from __future__ import annotations

from typing import Protocol, cast

from torch import Tensor


class MapModel(Protocol):
    """A model that can say where: it has a local head, as ours do."""

    @property
    def has_maps(self) -> bool:
        """True; false for a model of the same class without the head."""

    @property
    def local_share(self) -> float:
        """How much the local head's answer adds to a zero-shot score."""

    def maps(self, pixels: Tensor, queries: Tensor) -> Tensor:
        """(n, 1, S, S) in [0, 1], text embeddings (K, E) -> (n, K, h, w), logits."""

    def encode_and_map(self, pixels: Tensor, queries: Tensor) -> tuple[Tensor, Tensor]:
        """The images' embeddings (n, E) and `maps`, from one pass."""


def with_maps(model: object) -> MapModel | None:
    """The model as one that can say where; None where it cannot."""
    return cast(MapModel, model) if getattr(model, "has_maps", False) else None
