"""A model as its figures are measured: arrays in, arrays out. An exported one needs no torch for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from xlip.evaluate.exported_view import ExportedView
from xlip.images.gray import Gray
from xlip.runtime.encoder import Array, Encoder
from xlip.runtime.export_facts import CLASSIFIER, is_exported, read_facts
from xlip.runtime.exported import ExportedModel
from xlip.shipped import encoder_place

if TYPE_CHECKING:
    from xlip.evaluate.adapter import ImageTextModel
    from xlip.models.xlip import XLIPModel


@dataclass(frozen=True)
class MeasuredExport(ExportedView):
    """An `Encoder` over an exported folder."""

    @property
    def width(self) -> int:
        """E."""
        return self.model.width

    @property
    def scale(self) -> float:
        """What cosines are multiplied by before a softmax."""
        return self.model.scale

    def encode_squares(self, squares: Gray) -> Array:
        """Uint8 (n, S, S) -> (n, E)."""
        return self.model.encode_squares(squares)

    def encode_texts(self, texts: Sequence[str]) -> Array:
        """Texts -> (n, E)."""
        return self.model.encode_texts(texts)

    def maps(self, squares: Gray, queries: Array) -> Array:
        """Uint8 (n, S, S), (K, E) -> (n, K, h, w), logits.

        Raises:
            XLIPError: a model without a local head.
        """
        return self.model.maps(squares, queries)

    def encode_and_map(self, squares: Gray, queries: Array) -> tuple[Array, Array]:
        """Uint8 (n, S, S), (K, E) -> (n, E) and (n, K, h, w).

        Raises:
            XLIPError: a model without a local head.
        """
        return self.model.encode_and_map(squares, queries)


def open_measured(spec: str) -> ImageTextModel | MeasuredExport:
    """What `load_model` takes; a folder of `xlip export` with images and texts, and `phantom` where torch is not
    installed, without torch.

    Raises:
        XLIPError: nothing usable there.
    """
    place = encoder_place(spec)
    if is_exported(place) and read_facts(Path(place)).task != CLASSIFIER:
        return MeasuredExport(ExportedModel.open(place))
    from xlip.evaluate.adapter import load_model

    return load_model(spec)


def arrays_of(model: XLIPModel | ImageTextModel | Encoder) -> Encoder:
    """Any model as an `Encoder`; one that is an encoder already is returned."""
    if callable(getattr(model, "encode_squares", None)):
        return cast(Encoder, model)
    from xlip.evaluate.adapter import adapted
    from xlip.evaluate.encoder import TorchEncoder

    return TorchEncoder(adapted(cast("XLIPModel | ImageTextModel", model)))
