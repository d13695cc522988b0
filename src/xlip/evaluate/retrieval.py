"""Image <-> text retrieval: find an image's own report among all of the set, and a report's own image."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from xlip.errors import XLIPError
from xlip.evaluate.adapter import ImageTextModel, adapted, preprocessing_id
from xlip.evaluate.cases import Case, Cases, label_matrix
from xlip.evaluate.embeddings import embed
from xlip.identity import split_id
from xlip.metrics.retrieval import first_ranks, median_rank, precision_at
from xlip.models.xlip import XLIPModel
from xlip.results.figures import Direction, Example, Found, RetrievalFigures
from xlip.results.intervals import mean_with_interval
from xlip.results.result import Array, Result

ROWS_PER_CHUNK = 512
TEXTS_PER_PASS = 256
SHOWN_CHARACTERS = 300
"""Of a report among the examples."""


@dataclass(frozen=True)
class Retrieval:
    """Retrieval in both directions: the options of the evaluator."""

    at: tuple[int, ...] = (1, 5, 10)
    examples: int = 3
    """Queries of each direction that the result shows with what they found."""
    batch_size: int = 64
    cache: bool = True
    replicates: int = 1000
    seed: int = 0
    name: ClassVar[str] = "retrieval"
    require: ClassVar[str] = "report"

    def run(self, model: XLIPModel | ImageTextModel, data: Cases) -> Result:
        """`image_to_text` and `text_to_image`: recall@k with intervals, median rank, kind precision@k, chance.

        Equal reports are one report: finding any of them counts. Ties count against the model. A candidate is right by
        kind if it shares a present kind with the query; queries without a present kind are left out of that figure.

        Raises:
            XLIPError: fewer than two readable pairs.
        """
        start = time.perf_counter()
        subject = adapted(model)
        embedded = embed(subject, data, batch_size=self.batch_size, cache=self.cache)
        if len(embedded.cases) < 2:
            raise XLIPError(f"{data.name}: {len(embedded.cases)} pairs of image and report; retrieval needs at least 2")
        pairs = _Pairs.of(embedded.cases, data.kinds)
        texts = _encode_texts(subject, [case.report for case in embedded.cases])
        figures = RetrievalFigures(
            images=len(embedded.cases),
            dropped=len(data.dropped),
            image_to_text=self._direction(embedded.images, texts, pairs),
            text_to_image=self._direction(texts, embedded.images, pairs),
            examples=(
                *self._examples(embedded.images, texts, pairs, "image "),
                *self._examples(texts, embedded.images, pairs, ""),
            ),
            distinct_reports=pairs.distinct,
        )
        identity = {
            "split": split_id(data.name, (case.study_id for case in embedded.cases)),
            "preprocessing": preprocessing_id(subject),
            "checkpoint": subject.identity,
        }
        dropped, seconds = tuple(data.dropped), time.perf_counter() - start
        return Result(self.name, identity, figures, dropped=dropped, seconds=seconds)

    def _direction(self, queries: Array, candidates: Array, pairs: _Pairs) -> Direction:
        ranks, precision = _ranks(queries, candidates, pairs, self.at)
        options = {"replicates": self.replicates, "seed": self.seed}
        return Direction(
            recall={str(k): mean_with_interval(ranks <= k, pairs.patients, **options) for k in self.at},
            median_rank=median_rank(ranks),
            kind_precision={str(k): float(value) for k, value in zip(self.at, precision, strict=True)},
            kind_precision_by_chance=float(_ranks(queries, candidates, pairs, [len(candidates)])[1][0]),
            candidates=len(candidates),
        )

    def _examples(self, queries: Array, candidates: Array, pairs: _Pairs, what: str) -> list[Example]:
        """The first queries in the order of their ids, so that the choice does not depend on the results."""
        shown = []
        for row in np.argsort(pairs.ids)[: self.examples]:
            scores = candidates @ queries[row]
            best = np.argsort(-scores, kind="stable")[:3]
            query = f"image {pairs.ids[row]}" if what else _shortened(pairs.reports[row])
            found = tuple(
                Found(
                    what=_shortened(pairs.reports[one]) if what else f"image {pairs.ids[one]}",
                    hit=bool(pairs.text[one] == pairs.text[row]),
                    score=float(scores[one]),
                )
                for one in best
            )
            shown.append(Example(query=query, found=found))
        return shown


@dataclass(frozen=True)
class _Pairs:
    """What is known of n pairs."""

    ids: list[str]
    reports: list[str]
    text: Array
    """(n,) number of the distinct report."""
    patients: Array
    kinds: Array
    """(n, K) bool: present."""

    @classmethod
    def of(cls, cases: Sequence[Case], kinds: Sequence[str]) -> _Pairs:
        reports = [case.report for case in cases]
        numbers: dict[str, int] = {}
        text = np.array([numbers.setdefault(report, len(numbers)) for report in reports])
        present = label_matrix(cases, kinds) == 1
        patients = np.array([case.patient_id for case in cases])
        return cls([case.study_id for case in cases], reports, text, patients, present)

    @property
    def distinct(self) -> int:
        return int(self.text.max()) + 1


def _ranks(queries: Array, candidates: Array, pairs: _Pairs, at: Sequence[int]) -> tuple[Array, Array]:
    """(n,) rank of the best right candidate; (len(at),) kind precision, NaN where no query has a present kind."""
    ranks, hits = np.zeros(len(queries), np.int64), np.zeros(len(at))
    for first in range(0, len(queries), ROWS_PER_CHUNK):
        rows = slice(first, first + ROWS_PER_CHUNK)
        scores = queries[rows].astype(np.float64) @ candidates.T.astype(np.float64)
        ranks[rows] = first_ranks(scores, pairs.text[rows, None] == pairs.text[None])
        counted = pairs.kinds[rows].any(1)
        if counted.any():
            shared = pairs.kinds[rows][counted].astype(np.int32) @ pairs.kinds.T.astype(np.int32) > 0
            hits += [precision_at(scores[counted], shared, k) * counted.sum() for k in at]
    total = int(pairs.kinds.any(1).sum())
    return ranks, hits / total if total else np.full(len(at), np.nan)


def _encode_texts(model: ImageTextModel, reports: Sequence[str]) -> Array:
    passes = [model.encode_text(reports[i : i + TEXTS_PER_PASS]) for i in range(0, len(reports), TEXTS_PER_PASS)]
    return np.concatenate([one.numpy() for one in passes])


def _shortened(text: str) -> str:
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 3] + "..."
