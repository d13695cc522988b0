"""Probabilities of a fine-tuned classifier against the labels."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from xlip.errors import XLIPError
from xlip.evaluate.adapter import ImageTextModel
from xlip.evaluate.cases import Case, Cases
from xlip.evaluate.classification import over_views, predictions_of
from xlip.evaluate.classifier import ClassifierModel
from xlip.evaluate.pixels import pixel_batches
from xlip.identity import split_id
from xlip.results.classification import classification_figures, sanity_checks, source_controlled
from xlip.results.figures import ClassifierFigures
from xlip.results.result import Array, Result
from xlip.runtime.encoder import preprocessing_id


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
