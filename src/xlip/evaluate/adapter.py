"""What an evaluator asks of a model, and XLIP's answer: any model of images and texts in one space fits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from xlip.errors import XLIPError
from xlip.finetune.classifier import classifier_folder
from xlip.identity import checkpoint_id
from xlip.models.loading import load_checked
from xlip.models.local import LocalHead
from xlip.models.xlip import XLIPModel
from xlip.runtime.encoder import IN_MEMORY, no_map
from xlip.runtime.export_facts import CLASSIFIER, is_exported, read_facts
from xlip.runtime.exported import ExportedClassifier, ExportedModel


class ImageTextModel(Protocol):
    """Images and texts in one space; tensors go in and come out on the CPU."""

    @property
    def identity(self) -> str:
        """Hash of the weights, or hub id with its commit; `IN_MEMORY` where neither exists."""

    @property
    def image_size(self) -> int:
        """Pixels of a side of the square that `encode_pixels` takes."""

    @property
    def preprocess(self) -> str:
        """How an image becomes that square: one of `xlip.images.files.PREPROCESS`."""

    def encode_pixels(self, pixels: Tensor) -> Tensor:
        """(n, 1, S, S) in [0, 1] -> (n, E) float32, L2-normalised."""

    def encode_patches(self, pixels: Tensor) -> Tensor:
        """(n, 1, S, S) in [0, 1] -> (n, rows, columns, E) float32, L2-normalised, in the same space.

        Raises:
            XLIPError: this model has no such thing.
        """

    def encode_text(self, texts: Sequence[str]) -> Tensor:
        """Texts -> (n, E) float32, L2-normalised."""

    def scale(self) -> float:
        """exp(logit scale): what cosines are multiplied by before a softmax."""

    def with_preprocess(self, preprocess: str) -> ImageTextModel:
        """The same model on images that were made square in another way."""


@dataclass(frozen=True)
class XLIPAdapter:
    """An XLIP model as evaluators see it."""

    model: XLIPModel
    identity: str = IN_MEMORY
    preprocess: str = ""

    def __post_init__(self) -> None:
        if self.model.processor is None:
            raise XLIPError("this model has no processor: set `model.processor`, or load it by from_pretrained")
        object.__setattr__(self, "preprocess", self.preprocess or self.model.processor.preprocess)

    @classmethod
    def load(cls, path: str) -> XLIPAdapter:
        """The model of a folder or hub id.

        Raises:
            XLIPError: as `load_checked`.
        """
        return cls(load_checked(path), checkpoint_id(path))

    @property
    def image_size(self) -> int:
        """Of the processor."""
        assert self.model.processor is not None
        return self.model.processor.image_size

    @torch.no_grad()
    def encode_pixels(self, pixels: Tensor) -> Tensor:
        """(n, 1, S, S) -> (n, E)."""
        return self.model.encode_pixels(pixels.to(self.model.device)).float().cpu()

    @torch.no_grad()
    def encode_patches(self, pixels: Tensor) -> Tensor:
        """(n, 1, S, S) -> (n, rows, columns, E): each patch token through the image head, as a whole image goes."""
        tokens = self.model.images(pixels.to(self.model.device)).tokens
        unit: Tensor = F.normalize(self.model.image_head(tokens).float(), dim=-1)
        grid = self.model.image_tower.grid
        return unit.view(len(unit), grid, -1, unit.shape[-1]).cpu()

    @property
    def has_maps(self) -> bool:
        """Whether the model has a local head."""
        return self.model.local is not None

    @property
    def local_share(self) -> float:
        """How much the local head's answer adds to a zero-shot score; 0 where the model has none."""
        return float(self.model.config.local_share) if self.has_maps else 0.0

    @torch.no_grad()
    def maps(self, pixels: Tensor, queries: Tensor) -> Tensor:
        """(n, 1, S, S), (K, E) -> (n, K, h, w), logits.

        Raises:
            XLIPError: a model without a local head.
        """
        local, places = self._local(), self.model.places(pixels.to(self.model.device))
        assert places is not None
        return local.maps(places, queries.to(places.device)).float().cpu()

    @torch.no_grad()
    def encode_and_map(self, pixels: Tensor, queries: Tensor) -> tuple[Tensor, Tensor]:
        """(n, 1, S, S), (K, E) -> (n, E) and (n, K, h, w): tower and local head see the image once.

        Raises:
            XLIPError: a model without a local head.
        """
        local, made = self._local(), self.model.images(pixels.to(self.model.device))
        assert made.places is not None
        return made.embedding.float().cpu(), local.maps(made.places, queries.to(made.places.device)).float().cpu()

    def _local(self) -> LocalHead:
        if self.model.local is None:
            raise no_map(self.identity)
        return self.model.local

    @torch.no_grad()
    def encode_text(self, texts: Sequence[str]) -> Tensor:
        """Texts -> (n, E)."""
        return self.model.encode_text(list(texts)).float().cpu()

    @torch.no_grad()
    def scale(self) -> float:
        """exp(logit_scale), clamped (docs/method.md, the model)."""
        return float(self.model.logit_scale_exp())

    def with_preprocess(self, preprocess: str) -> XLIPAdapter:
        """The same model on images that were made square in another way."""
        return replace(self, preprocess=preprocess)


def adapted(model: XLIPModel | ImageTextModel) -> ImageTextModel:
    """What evaluators use, from a bare XLIP model too."""
    return XLIPAdapter(model) if isinstance(model, XLIPModel) else model


def load_model(spec: str) -> ImageTextModel:
    """`hf:NAME_OR_PATH`: a checkpoint of images and texts; a folder of `xlip export` or `xlip finetune`; else an XLIP
    folder, a hub id, or `phantom`, the checkpoint of the package.

    Raises:
        XLIPError: nothing usable there.
    """
    if spec.startswith("hf:"):
        from xlip.evaluate.hugging_face import HuggingFaceModel

        return HuggingFaceModel.load(spec.removeprefix("hf:"))
    if is_exported(spec):
        if read_facts(Path(spec)).task == CLASSIFIER:
            from xlip.evaluate.classifier import ClassifierModel

            return ClassifierModel(ExportedClassifier.open(spec), f"onnx:{read_facts(Path(spec)).identity}")
        from xlip.evaluate.exported import ExportedAdapter

        return ExportedAdapter(ExportedModel.open(spec))
    if classifier_folder(spec) is not None:
        from xlip.evaluate.classifier import ClassifierModel

        return ClassifierModel.load(spec)
    return XLIPAdapter.load(spec)
