"""Free text instead of kinds: how well each image fits a sentence of the user's own."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from xlip.errors import XLIPError
from xlip.evaluate.cases import Cases
from xlip.evaluate.classification import predictions_of
from xlip.evaluate.embeddings import embed
from xlip.evaluate.measured import arrays_of
from xlip.identity import split_id
from xlip.results.classification import classification_figures
from xlip.results.figures import QueryFigures
from xlip.results.result import Predictions, Result
from xlip.runtime.encoder import Encoder, preprocessing_id
from xlip.runtime.scores import NEUTRAL, kind_scores

if TYPE_CHECKING:
    from xlip.evaluate.adapter import ImageTextModel
    from xlip.models.xlip import XLIPModel


@dataclass(frozen=True)
class Query:
    """Score every image against one sentence: softmax([cos(v, query), cos(v, neutral)] * scale)[0]."""

    text: str
    neutral: str = NEUTRAL
    against: tuple[str, ...] = ()
    """Kinds whose labels the scores are compared with; default: no labels are needed."""
    batch_size: int = 64
    cache: bool = True
    replicates: int = 1000
    seed: int = 0
    name: ClassVar[str] = "query"
    require: ClassVar[str] = "image"

    def run(self, model: XLIPModel | ImageTextModel | Encoder, data: Cases) -> Result:
        """The column of scores is named after the query, or repeated for each of `against`.

        Raises:
            XLIPError: nothing readable, or an empty text.
        """
        return self.ranked(model, data)[0]

    def ranked(
        self, model: XLIPModel | ImageTextModel | Encoder, data: Cases
    ) -> tuple[Result, list[tuple[object, ...]]]:
        """The result, and a table with a header: rank, study id, score and cosine to the query, the best first."""
        start = time.perf_counter()
        if not self.text.strip() or not self.neutral.strip():
            raise XLIPError("query: expected a sentence to look for and one to weigh it against; got an empty text")
        subject = arrays_of(model)
        pair = subject.encode_texts([self.text, self.neutral])
        embedded = embed(subject, data, batch_size=self.batch_size, cache=self.cache)
        images = embedded.images
        scores = kind_scores(images, pair[None], subject.scale)
        kinds = self.against or (self.text,)
        predictions = predictions_of(embedded.cases, kinds, np.repeat(scores, len(kinds), axis=1))
        asked: dict[str, Any] = {"query": self.text, "neutral": self.neutral, "dropped": len(data.dropped)}
        if self.against:
            options: dict[str, Any] = {"replicates": self.replicates, "seed": self.seed}
            figures = classification_figures(predictions, QueryFigures, **options, **asked)
        else:
            figures = QueryFigures(images=len(embedded.cases), **asked)
        identity = {
            "split": split_id(data.name, predictions.study_ids),
            "preprocessing": preprocessing_id(subject),
            "checkpoint": subject.identity,
        }
        seconds = time.perf_counter() - start
        result = Result(self.name, identity, figures, predictions, None, tuple(data.dropped), seconds)
        return result, _ranking(predictions, (images @ pair[0]).tolist())


def _ranking(predictions: Predictions, cosines: list[float]) -> list[tuple[object, ...]]:
    scores = predictions.scores[:, 0]
    rows: list[tuple[object, ...]] = [("rank", "study_id", "score", "cosine")]
    for rank, row in enumerate(np.argsort(-scores, kind="stable"), 1):
        rows.append((rank, predictions.study_ids[row], repr(float(scores[row])), repr(cosines[row])))
    return rows
