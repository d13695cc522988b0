"""The service without HTTP: films and questions in, typed answers out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from xlip.errors import XLIPError
from xlip.explain.abstention import rule_of
from xlip.explain.asked import Asked
from xlip.explain.explanation import Explanation, explained
from xlip.explain.scoring import scored
from xlip.images.files import encode
from xlip.runtime.encoder import Array, Encoder
from xlip.runtime.scores import NEUTRAL, kind_scores
from xlip.serve import answers
from xlip.serve.asks import DicomAsk, EmbedAsk, ExplainAsk, SearchAsk, ZeroShotAsk
from xlip.serve.batcher import Batcher, Encoded
from xlip.serve.cases import Cases
from xlip.serve.config import COMMON_KINDS, ServeConfig
from xlip.serve.films import Film, read_film, shown
from xlip.serve.findings import Findings
from xlip.serve.maps import finding_maps
from xlip.serve.objects import check_objects, no_objects, zipped_objects
from xlip.serve.problems import RequestError
from xlip.serve.reference import Curve, Spread, calibration_of, population_of
from xlip.shipped import WARNING, knows_phantoms_only
from xlip.study.kinds import NO_FINDING, canonical, kinds
from xlip.study.prompts import load_prompts

MOST_SPREADS = 256
"""Findings whose population is remembered."""
MOST_VECTORS = 64
"""Films whose vector is remembered, so that the map of a film that was scored needs no second encoding."""


@dataclass
class Service:
    """A model, what its scores are read beside, and the threads that work for it."""

    config: ServeConfig
    encoder: Encoder
    cases: Cases | None = None
    population: dict[str, Spread] = field(default_factory=dict)
    calibration: dict[str, Curve] = field(default_factory=dict)
    on_batch: Callable[[int], None] = lambda size: None

    def __post_init__(self) -> None:
        prompts = load_prompts(self.config.prompts)
        self.info = answers.ModelInfo(
            checkpoint=self.encoder.identity,
            prompts=prompts.identifier,
            preprocessing=f"{self.encoder.preprocess}/{self.encoder.image_size}",
            warning=WARNING if knows_phantoms_only(self.config.model) else "",
        )
        self.share = self.encoder.local_share
        self.rule = rule_of(self.config.model, self.config.rule)
        self._scale = self.encoder.scale
        self._findings = Findings(self.encoder, prompts)
        named = [canonical(name.strip()) for name in self.config.kinds.split(",") if name.strip()]
        self.kinds = tuple(dict.fromkeys(named or self.population or COMMON_KINDS.split(",")))
        self._batcher = Batcher(self.encoder, self.config.batch, lambda size: self.on_batch(size))
        self._decoders = ThreadPoolExecutor(self.config.decoders, "decoder")
        self._spreads: dict[tuple[str, str], Spread] = {}
        self._vectors: dict[str, Array] = {}
        self.ready = False
        self.failure: Exception | None = None

    @classmethod
    def open(cls, config: ServeConfig, encoder: Encoder) -> Service:
        """With the index, the population and the calibration that the config names.

        Raises:
            XLIPError: one of them cannot be read, or is of another model; an unknown kind or prompt set.
        """
        identity = {
            "checkpoint": encoder.identity,
            "prompts": load_prompts(config.prompts).identifier,
            "preprocessing": f"{encoder.preprocess}/{encoder.image_size}",
            "local_share": f"{encoder.local_share:g}" if encoder.local_share else "",
        }
        return cls(
            config,
            encoder,
            Cases.open(config.index, encoder) if config.index else None,
            population_of(config.population, identity) if config.population else {},
            calibration_of(config.calibration, identity) if config.calibration else {},
        )

    async def start(self) -> None:
        """Work, and be ready once the prompts of the usual kinds are encoded; what stops that is kept in `failure`."""
        self._batcher.start()
        try:
            await self._warm()
        except Exception as error:
            self.failure = error
        self.ready = self.failure is None

    async def _warm(self) -> None:
        await self._batcher.run(partial(self._findings.kinds, self.kinds))
        blank = np.zeros((self.encoder.image_size,) * 2, np.uint8)
        await self._batcher.encode(blank, self._queries(await self._kind_set(self.kinds)))

    async def stop(self) -> None:
        """Finish what is being computed and let go of the threads."""
        self.ready = False
        await self._batcher.stop()
        self._decoders.shutdown(wait=True, cancel_futures=True)

    async def film(self, data: bytes) -> Film:
        """Decoded in one of the threads for that.

        Raises:
            RequestError: not an image that is accepted.
        """
        most = int(self.config.max_megapixels * 1e6)
        work = partial(read_film, data, most, self.encoder.image_size, self.encoder.preprocess)
        return await asyncio.get_running_loop().run_in_executor(self._decoders, work)

    async def picture(self, film: Film) -> bytes:
        """A PNG of what the model sees, at the film's own resolution."""

        def work() -> bytes:
            return encode(shown(film, self.encoder.preprocess), lossless=True)

        return await asyncio.get_running_loop().run_in_executor(self._decoders, work)

    async def zeroshot(self, films: Sequence[Film], ask: ZeroShotAsk) -> list[answers.FilmScores]:
        """Every finding on every film.

        Raises:
            RequestError: a kind without prompts, or a text that the model cannot represent.
        """
        asked = tuple(ask.kinds or (() if ask.texts else self.kinds))
        kind_set = await self._kind_set(asked)
        sentences = await self._ask_model(partial(self._findings.sentences, ask.texts, ask.neutral))
        queries = self._queries(kind_set)
        encoded = await asyncio.gather(*(self._encoded(film, queries) for film in films))
        found = []
        for film, one in zip(films, encoded, strict=True):
            scores = [*self._of_kinds(one, kind_set.pairs), *self._of_pairs(one.vector, sentences)]
            names = [*asked, *ask.texts]
            listed = [
                await self._score(name, score, None if row < len(asked) else ask.neutral)
                for row, (name, score) in enumerate(zip(names, scores, strict=True))
            ]
            found.append(answers.FilmScores(input=film.sha256, warning=film.warning, scores=listed))
        return found

    async def embed(self, films: Sequence[Film], ask: EmbedAsk) -> tuple[list[answers.Vector], list[list[float]]]:
        """Vectors of films and texts.

        Raises:
            RequestError: a text that the model cannot represent.
        """
        texts = await self._ask_model(partial(self._findings.encode, ask.texts)) if ask.texts else np.zeros((0, 1))
        encoded = await asyncio.gather(*(self._encoded(film) for film in films))
        vectors = [
            answers.Vector(input=film.sha256, vector=one.vector.tolist())
            for film, one in zip(films, encoded, strict=True)
        ]
        return vectors, texts.tolist()

    async def explain(self, film: Film, ask: ExplainAsk) -> tuple[str, list[answers.FindingMap]]:
        """How it was said, and a map for each finding.

        Raises:
            RequestError: no finding was asked for, or one that cannot be explained.
        """
        if not ask.kinds and not ask.texts:
            raise RequestError("invalid", "explain: expected at least one of kinds and texts")
        how = self._way(ask.how)

        def work() -> list[answers.FindingMap]:
            asked = self._findings.asked(ask.kinds, ask.texts, ask.neutral)
            return finding_maps(film.square, self._explained(film, asked, how), drawn=ask.overlay)

        return how, await self._ask_model(work)

    async def dicom(self, film: Film, ask: DicomAsk) -> bytes:
        """A ZIP file with the objects of one prediction: scores and maps as `explain` gives them.

        Raises:
            RequestError: this service makes none, the film is not DICOM or cannot be judged, or as `explain`.
        """
        check_objects(film)
        how, named = self._way(ask.how), ask.kinds or ([] if ask.texts else list(self.kinds))
        somewhere = [kind for kind in named if kind != NO_FINDING]

        def work() -> list[Explanation]:
            asked = self._findings.asked(somewhere, ask.texts, ask.neutral)
            return self._explained(film, asked, how)

        if not somewhere and not ask.texts:
            raise RequestError("invalid", "dicom: expected at least one finding that can be somewhere")
        found = await self._ask_model(work)
        made = partial(zipped_objects, film, found, self.encoder.preprocess, self.encoder.identity, ask.objects)
        return await asyncio.get_running_loop().run_in_executor(self._decoders, made)

    async def search(self, film: Film | None, ask: SearchAsk) -> list[answers.Case]:
        """Cases like a film or a sentence, the most similar first.

        Raises:
            RequestError: no index, not exactly one of film and sentence, or a condition that cannot be.
        """
        if self.cases is None:
            raise RequestError("no-index", "start the service with --index FOLDER (of `xlip embed`)")
        if (film is None) == (ask.text is None):
            raise RequestError("invalid", "search: expected an image or a text, and not both")
        if film is not None:
            vector = (await self._encoded(film)).vector
        else:
            vector = (await self._ask_model(partial(self._findings.encode, [ask.text or ""])))[0]
        work = partial(self.cases.like, vector, ask.top, ask.where)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._decoders, work)
        except XLIPError as error:
            raise RequestError("invalid", str(error)) from None

    def describe(self) -> answers.KindsAnswer:
        """What can be asked for."""
        listed = [
            answers.KindInfo(
                id=kind.id,
                name=kind.name,
                aliases=list(kind.aliases),
                default=kind.id in self.kinds,
                calibrated=kind.id in self.calibration,
                population=len(self.population[kind.id].scores) if kind.id in self.population else 0,
            )
            for kind in kinds().values()
        ]
        return answers.KindsAnswer(
            model=self.info,
            kinds=listed,
            neutral=NEUTRAL,
            maps=list(self.ways),
            index=len(self.cases) if self.cases is not None else None,
            index_compares=self.cases is not None and not self.share,
            columns=self.cases.columns if self.cases is not None else [],
            dicom=not no_objects(),
            no_dicom=no_objects(),
            max_films=self.config.max_films,
            max_mb=self.config.max_mb,
        )

    @property
    def ways(self) -> tuple[str, ...]:
        """Ways to say where, the usual one first."""
        return ("response", "occlusion") if self.encoder.has_maps else ("occlusion",)

    async def _encoded(self, film: Film, queries: Array | None = None) -> Encoded:
        """Through the model, in whatever batch comes next; its vector is remembered for a while."""
        one = await self._batcher.encode(film.square, queries)
        self._remember(film, one.vector)
        return one

    def _explained(self, film: Film, asked: Sequence[Asked], how: str) -> list[Explanation]:
        """In the model's thread. A film that was scored a moment ago is not encoded again for its maps."""
        squares, known = film.square[None], self._vectors.get(film.sha256)
        found = scored(
            self.encoder, squares, asked, maps=how == "response", known=None if known is None else known[None]
        )
        self._remember(film, found.images[0])
        return explained(self.encoder, squares, asked, found, how, self.rule)[0]

    def _remember(self, film: Film, vector: Array) -> None:
        """Vectors, never films: a few kilobytes each, of the last films alone, in memory."""
        self._vectors[film.sha256] = vector
        while len(self._vectors) > MOST_VECTORS:
            with suppress(KeyError, RuntimeError):  # the other thread was faster
                self._vectors.pop(next(iter(self._vectors)))

    def _way(self, how: str) -> str:
        if how and how not in self.ways:
            raise RequestError("invalid", f"how: this model knows {' and '.join(self.ways)}, not {how!r}")
        return how or self.ways[0]

    def _sample(self) -> Array:
        assert self.cases is not None
        return self.cases.sample

    async def _ask_model(self, work: Callable[[], Any]) -> Any:
        try:
            return await self._batcher.run(work)
        except XLIPError as error:
            raise RequestError("invalid", str(error)) from None

    async def _kind_set(self, asked: tuple[str, ...]) -> Any:
        return await self._ask_model(partial(self._findings.kinds, asked))

    def _queries(self, kind_set: Any) -> Array | None:
        return kind_set.queries if self.share and self.encoder.has_maps and kind_set.kinds else None

    def _of_kinds(self, one: Encoded, pairs: Array) -> list[float]:
        added = 0.0 if one.answers is None else self.share * one.answers[None].astype(np.float64)
        return self._of_pairs(one.vector, pairs, added)

    def _of_pairs(self, vector: Array, pairs: Array, added: Any = 0.0) -> list[float]:
        if not len(pairs):
            return []
        return [float(score) for score in kind_scores(vector[None], pairs, self._scale, added)[0]]

    async def _score(self, finding: str, score: float, neutral: str | None) -> answers.Score:
        """A kind's score, or a sentence's where `neutral` says what it was weighed against."""
        spread = await self._spread(finding, neutral)
        curve = self.calibration.get(finding) if neutral is None else None
        population = None
        if spread is not None:
            population = answers.Population(
                source=spread.source,
                films=len(spread.scores),
                percentile=spread.percentile(score),
                quantiles=spread.quantiles(),
            )
        return answers.Score(
            finding=finding,
            name=kinds()[finding].name if neutral is None else finding,
            score=score,
            probability=curve.probability(score) if curve else None,
            population=population,
        )

    async def _spread(self, finding: str, neutral: str | None) -> Spread | None:
        """The population of a finding: of the evaluation, else of the index, whose films have an embedding but no
        map; so it has none for kinds to which the map adds.
        """
        if neutral is None and finding in self.population:
            return self.population[finding]
        if self.cases is None or (neutral is None and self.share):
            return None
        if not len(sample := await asyncio.get_running_loop().run_in_executor(self._decoders, self._sample)):
            return None
        key = (finding, neutral or "")
        if key not in self._spreads:
            if neutral is None:
                pairs = (await self._kind_set((finding,))).pairs
            else:
                pairs = await self._ask_model(partial(self._findings.sentences, [finding], neutral))
            scores = kind_scores(sample, pairs, self._scale)[:, 0]
            while len(self._spreads) >= MOST_SPREADS:
                self._spreads.pop(next(iter(self._spreads)))
            self._spreads[key] = Spread.of(scores, f"index:{len(self.cases)}")
        return self._spreads[key]
