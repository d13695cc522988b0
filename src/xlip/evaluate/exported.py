"""An exported folder as evaluators see it: the figures of `xlip evaluate` are those of what is served."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from xlip.errors import XLIPError
from xlip.evaluate.exported_view import ExportedView


@dataclass(frozen=True)
class ExportedAdapter(ExportedView):
    """An `ImageTextModel` over ONNX Runtime; tensors go in and come out."""

    def encode_pixels(self, pixels: Tensor) -> Tensor:
        """(n, 1, S, S) in [0, 1] -> (n, E)."""
        return torch.from_numpy(self.model.encode_pixels(pixels.numpy()))

    def encode_patches(self, pixels: Tensor) -> Tensor:
        """Not exported.

        Raises:
            XLIPError: always; the map of a model with a local head is a graph of its own.
        """
        raise XLIPError(f"{self.identity}: patches are not among the exported graphs; use the checkpoint")

    def encode_text(self, texts: Sequence[str]) -> Tensor:
        """Texts -> (n, E)."""
        return torch.from_numpy(self.model.encode_texts(texts))

    def scale(self) -> float:
        """What cosines are multiplied by before a softmax."""
        return self.model.scale

    def maps(self, pixels: Tensor, queries: Tensor) -> Tensor:
        """(n, 1, S, S) in [0, 1], (K, E) -> (n, K, h, w), logits.

        Raises:
            XLIPError: a model without a local head.
        """
        found = self.model.maps_of_pixels(pixels.numpy(), np.asarray(queries.numpy(), np.float32))
        return torch.from_numpy(found)

    def encode_and_map(self, pixels: Tensor, queries: Tensor) -> tuple[Tensor, Tensor]:
        """The images' embeddings (n, E), and `maps`.

        Raises:
            XLIPError: a model without a local head.
        """
        found = self.model.encode_and_map_pixels(pixels.numpy(), np.asarray(queries.numpy(), np.float32))
        return torch.from_numpy(found[0]), torch.from_numpy(found[1])
