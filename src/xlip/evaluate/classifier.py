"""A fine-tuned classifier under `xlip evaluate`: its probabilities stand where zero-shot scores would."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from xlip.errors import XLIPError
from xlip.finetune.classifier import WEIGHTS, XLIPClassifier, classifier_folder
from xlip.identity import file_id
from xlip.results.result import Array
from xlip.runtime.exported import ExportedClassifier

TEXTLESS = "a fine-tuned classifier has no text side: it answers to the kinds that it was trained on alone"


@dataclass(frozen=True)
class ClassifierModel:
    """A classifier of torch or of ONNX graphs, as evaluators see a model; it encodes no text."""

    classifier: XLIPClassifier | ExportedClassifier
    identity: str
    preprocess: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "preprocess", self.preprocess or self.classifier.preprocess)

    @classmethod
    def load(cls, place: str) -> ClassifierModel:
        """From the folder of `xlip finetune`.

        Raises:
            XLIPError: none there, or a damaged one.
        """
        root = classifier_folder(place)
        loaded = XLIPClassifier.from_pretrained(place)
        assert root is not None
        return cls(loaded, f"classifier:{file_id(root / WEIGHTS)}")

    @property
    def kinds(self) -> tuple[str, ...]:
        """What it was trained on."""
        return tuple(self.classifier.kinds)

    @property
    def image_size(self) -> int:
        """S, pixels."""
        return self.classifier.image_size

    @torch.no_grad()
    def encode_pixels(self, pixels: Tensor) -> Tensor:
        """(n, 1, S, S) in [0, 1] -> (n, E), for probes.

        Raises:
            XLIPError: an exported one, whose graph ends in the kinds.
        """
        if not isinstance(self.classifier, XLIPClassifier):
            raise XLIPError(
                f"{self.identity}: {TEXTLESS}; its exported graph gives no embeddings either, evaluate the checkpoint"
            )
        return self.classifier.embed(pixels.to(self.classifier.device)).float().cpu()

    def encode_patches(self, pixels: Tensor) -> Tensor:
        """None.

        Raises:
            XLIPError: always.
        """
        raise XLIPError(f"{self.identity}: {TEXTLESS}; grounding needs a model of images and texts")

    def encode_text(self, texts: Sequence[str]) -> Tensor:
        """None.

        Raises:
            XLIPError: always.
        """
        raise XLIPError(f"{self.identity}: {TEXTLESS}; evaluate a model of images and texts")

    def scale(self) -> float:
        """Of no use without texts."""
        return 1.0

    def with_preprocess(self, preprocess: str) -> ClassifierModel:
        """The same model on images that were made square in another way."""
        return replace(self, preprocess=preprocess)

    def probabilities(self, pixels: Tensor) -> Array:
        """(n, 1, S, S) in [0, 1] -> (n, K) float64."""
        squares = np.rint(pixels[:, 0].numpy() * 255).astype(np.uint8)
        return self.classifier.predict_pixels(squares)
