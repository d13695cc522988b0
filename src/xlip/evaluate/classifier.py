"""A fine-tuned classifier under `xlip evaluate`: its probabilities stand where zero-shot scores would."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from xlip.errors import XLIPError
from xlip.evaluate.adapter import ImageTextModel, preprocessing_id
from xlip.evaluate.cases import Case, Cases
from xlip.evaluate.classification import over_views, predictions_of
from xlip.evaluate.embeddings import pixel_batches
from xlip.finetune.classifier import WEIGHTS, XLIPClassifier, classifier_folder
from xlip.identity import file_id, split_id
from xlip.results.classification import classification_figures, sanity_checks, source_controlled
from xlip.results.figures import ClassifierFigures
from xlip.results.result import Array, Result
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
            raise XLIPError(f"{self.identity}: an exported classifier has no embeddings; evaluate the checkpoint")
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


@dataclass(frozen=True)
class Classify:
    """Probabilities of a fine-tuned classifier against the labels: the options of the evaluator."""

    views: str = ""
    """max or mean: the score of a study is that of its views."""
    source_controlled: bool = False
    """Also report each kind on the sources alone that hold both of its classes."""
    batch_size: int = 64
    replicates: int = 1000
    seed: int = 0
    name: ClassVar[str] = "classify"
    require: ClassVar[str] = "labels"

    def run(self, model: ImageTextModel | Any, data: Cases) -> Result:
        """Score every image; images stream. Kinds that the classifier was not trained on are left out, by name.

        Raises:
            XLIPError: no classifier, no kind in common, or nothing readable.
        """
        start = time.perf_counter()
        if not isinstance(model, ClassifierModel):
            raise XLIPError("classify: expected a folder of `xlip finetune` or its export; for others name `zeroshot`")
        kinds = [kind for kind in data.kinds if kind in model.kinds]
        if not kinds:
            raise XLIPError(
                f"{data.name}: the classifier knows {', '.join(model.kinds)}, the set labels {', '.join(data.kinds)}: "
                "no kind in common; fine-tune on these kinds"
            )
        cases: list[Case] = []
        rows: list[Array] = []
        columns = [model.kinds.index(kind) for kind in kinds]
        for chunk, pixels in pixel_batches(model, data, self.batch_size):
            cases += [case.without_pixels() for case in chunk]
            rows.append(model.probabilities(pixels)[:, columns])
        if not cases:
            first = f"; first: {data.dropped[0][1]}" if data.dropped else ""
            raise XLIPError(f"{data.name}: no image could be read ({len(data.dropped)} dropped{first})")
        test = over_views(predictions_of(cases, kinds, np.concatenate(rows)), self.views)
        more: dict[str, Any] = {"sanity": sanity_checks(test, seed=self.seed)}
        if self.source_controlled:
            more["source_controlled"] = source_controlled(test)
        figures = classification_figures(
            test, ClassifierFigures, images=len(cases), dropped=len(data.dropped), replicates=self.replicates,
            seed=self.seed, not_trained_on=tuple(kind for kind in data.kinds if kind not in kinds), **more,
        )  # fmt: skip
        identity = {
            "split": split_id(data.name, (case.study_id for case in cases)),
            "preprocessing": preprocessing_id(model),
            "checkpoint": model.identity,
        }
        seconds = time.perf_counter() - start
        return Result(self.name, identity, figures, test, None, tuple(data.dropped), seconds)
