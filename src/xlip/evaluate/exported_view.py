"""What is the same of an exported folder whether its figures are measured by arrays or by tensors."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

from xlip.runtime.exported import ExportedModel


@dataclass(frozen=True)
class ExportedView:
    """An exported folder whose identity says that the graphs were measured, not the checkpoint."""

    model: ExportedModel
    preprocess: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "preprocess", self.preprocess or self.model.preprocess)

    @property
    def identity(self) -> str:
        """Embeddings that the checkpoint left in the cache are not those of the graphs."""
        return f"onnx:{self.model.identity}"

    @property
    def image_size(self) -> int:
        """S, pixels."""
        return self.model.image_size

    @property
    def local_share(self) -> float:
        """Of the checkpoint."""
        return self.model.local_share

    @property
    def has_maps(self) -> bool:
        """Whether there is a map graph."""
        return self.model.has_maps

    def with_preprocess(self, preprocess: str) -> Self:
        """The same model on images that were made square in another way."""
        return replace(self, preprocess=preprocess)
