"""A model that can say where: what evaluators ask of one that has a local head."""

from __future__ import annotations

from typing import Protocol, cast

from torch import Tensor

from xlip.models.local import whole


class MapModel(Protocol):
    """A model that can say where: it has a local head, as ours do."""

    @property
    def has_maps(self) -> bool:
        """True; false for a model of the same class without the head."""

    @property
    def local_share(self) -> float:
        """How much the local head's answer adds to a zero-shot score."""

    def encode_patches(self, pixels: Tensor) -> Tensor:
        """(n, 1, S, S) in [0, 1] -> (n, h, w, E), L2-normalised."""

    def local_scale(self) -> float:
        """What the product of a place and a direction is multiplied by."""

    def maps(self, pixels: Tensor, directions: Tensor) -> Tensor:
        """(n, 1, S, S) in [0, 1], (K, E) -> (n, K, h, w), logits."""


def with_maps(model: object) -> MapModel | None:
    """The model as one that can say where; None where it cannot."""
    return cast(MapModel, model) if getattr(model, "has_maps", False) else None


def local_answers(model: MapModel, pixels: Tensor, directions: Tensor) -> Tensor:
    """How much some place speaks for each kind, less how much some place speaks against it.

    Exchanging positive and negative prompts changes the sign, as it does of a difference of cosines.

    Args:
        model: one with a local head.
        pixels: (n, 1, S, S) in [0, 1].
        directions: (K, E), positive less negative prompt embeddings.

    Returns:
        (n, K), logits.

    Raises:
        XLIPError: a model without a local head.
    """
    answers = model.maps(pixels, directions)
    return whole(answers) - whole(-answers)
