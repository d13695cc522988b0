"""Image <-> text retrieval: find an image's own report among all of the set, and a report's own image."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from xlip.errors import XLIPError
from xlip.evaluate.adapter import ImageTextModel, adapted
from xlip.evaluate.cases import Case, Cases, label_matrix
from xlip.evaluate.embeddings import embed
from xlip.identity import split_id
from xlip.metrics.bootstrap import interval, patient_draws, patient_numbers
from xlip.metrics.kinds import MIN_CASES
from xlip.metrics.retrieval import first_ranks, median_rank, taken
from xlip.models.xlip import XLIPModel
from xlip.results.figures import Direction, Example, Found, OneRanking, RetrievalFigures
from xlip.results.intervals import mean_with_interval
from xlip.results.result import Array, Result
from xlip.results.typed import NONE, Mean
from xlip.runtime.encoder import preprocessing_id

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
        found = _found(queries, candidates, pairs, self.at)
        options = {"replicates": self.replicates, "seed": self.seed}
        known = pairs.kinds.any(1)
        shared = {
            str(k): mean_with_interval(values[known], pairs.patients[known], **options)
            for k, values in zip(self.at, found.shared, strict=True)
        }
        everything = _found(queries, candidates, pairs, [len(candidates)])
        return Direction(
            recall={str(k): mean_with_interval(found.ranks <= k, pairs.patients, **options) for k in self.at},
            median_rank=median_rank(found.ranks),
            kind_precision={k: one.mean for k, one in shared.items()},
            kind_precision_by_chance=float(everything.shared[0][known].mean()) if known.any() else None,
            candidates=len(candidates),
            kind_precision_ci95={k: one.ci95 for k, one in shared.items()},
            precision_over_kinds={
                str(k): _over_kinds(values, pairs, **options) for k, values in zip(self.at, found.of_kinds, strict=True)
            },
            by_frequency={
                name: _one_ranking(order, pairs, self.at) for name, order in by_frequency(pairs.kinds).items()
            },
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


@dataclass(frozen=True)
class _Rankings:
    """What n queries found, at each of A places."""

    ranks: Array
    """(n,) of the best right candidate."""
    shared: Array
    """(A, n) share of the first k that share a present kind with the query."""
    of_kinds: Array
    """(A, n, K) share of the first k with each kind."""


def _found(queries: Array, candidates: Array, pairs: _Pairs, at: Sequence[int]) -> _Rankings:
    count, kinds = pairs.kinds.shape
    ranks = np.zeros(count, np.int64)
    shared, of_kinds = np.zeros((len(at), count)), np.zeros((len(at), count, kinds), np.float32)
    for first in range(0, count, ROWS_PER_CHUNK):
        rows = slice(first, first + ROWS_PER_CHUNK)
        scores = queries[rows].astype(np.float64) @ candidates.T.astype(np.float64)
        ranks[rows] = first_ranks(scores, pairs.text[rows, None] == pairs.text[None])
        right = _shared(pairs.kinds[rows], pairs.kinds)
        for place, k in enumerate(at):
            weights = taken(scores, k)
            shared[place, rows] = (weights * right).sum(1)
            of_kinds[place, rows] = weights @ pairs.kinds
    return _Rankings(ranks, shared, of_kinds)


def _shared(some: Array, others: Array) -> Array:
    """(Q, K) and (C, K) of present kinds -> (Q, C) whether they share one."""
    both: Array = some.astype(np.int32) @ others.T.astype(np.int32) > 0
    return both


def by_frequency(kinds: Array) -> dict[str, Array]:
    """(n,) score of every candidate by how frequent its kinds are: the `largest` frequency, and their `sum`.

    Args:
        kinds: (n, K) bool, present.
    """
    frequent = kinds * kinds.mean(0)
    return {"largest": frequent.max(1, initial=0.0), "sum": frequent.sum(1)}


def _one_ranking(order: Array, pairs: _Pairs, at: Sequence[int]) -> OneRanking:
    """One ranking for all queries; equal scores in random order, which can only flatter its recall."""
    weights = {str(k): taken(order[None], k)[0] for k in at}
    same, known = pairs.text[:, None] == pairs.text[None], pairs.kinds.any(1)
    right = _shared(pairs.kinds[known], pairs.kinds)
    counted = _counted(pairs.kinds)
    return OneRanking(
        recall={k: float(np.minimum(same @ one * min(int(k), len(order)), 1.0).mean()) for k, one in weights.items()},
        kind_precision={k: float((right @ one).mean()) if known.any() else None for k, one in weights.items()},
        precision_over_kinds={
            k: float((one @ pairs.kinds)[counted].mean()) if counted.any() else None for k, one in weights.items()
        },
    )


def _counted(kinds: Array) -> Array:
    """(K,) whether a kind has enough queries for the mean over kinds."""
    enough: Array = kinds.sum(0) >= MIN_CASES
    return enough


def _over_kinds(shares: Array, pairs: _Pairs, *, replicates: int, seed: int) -> Mean:
    """Mean over kinds of the mean over the queries with the kind of (n, K) shares, and its interval over patients."""
    has = pairs.kinds[:, _counted(pairs.kinds)].astype(np.float64)
    if not has.shape[1]:
        return Mean(mean=None, ci95=NONE)
    values = shares[:, _counted(pairs.kinds)] * has
    numbers, count = patient_numbers(pairs.patients)
    sums, sizes = np.zeros((2, count, has.shape[1]))
    np.add.at(sums, numbers, values)
    np.add.at(sizes, numbers, has)
    sample = []
    for draws in patient_draws(count, replicates, seed):
        asked = draws @ sizes  # a kind that a replicate has no query of takes no part in it
        measured = np.divide(draws @ sums, asked, out=np.zeros_like(asked), where=asked > 0)
        counted = (asked > 0).sum(1)
        sample.append(np.divide(measured.sum(1), counted, out=np.full(len(draws), np.nan), where=counted > 0))
    return Mean(mean=float((sums.sum(0) / sizes.sum(0)).mean()), ci95=interval(np.concatenate(sample)))


def _encode_texts(model: ImageTextModel, reports: Sequence[str]) -> Array:
    passes = [model.encode_text(reports[i : i + TEXTS_PER_PASS]) for i in range(0, len(reports), TEXTS_PER_PASS)]
    return np.concatenate([one.numpy() for one in passes])


def _shortened(text: str) -> str:
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 3] + "..."
