"""Prepared Parquet to batches: a fixed mix of pairs, lone images and lone reports at every step.

Which studies make up a step is a pure function of (seed, step), and what is drawn for one of them of (seed, place in
the stream): nothing to save, nothing to lose on resume, and any number of ranks share the same steps between them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from xlip.batches.augmentation import Augment
from xlip.batches.batch import Batch
from xlip.batches.denials import Denial, denied_columns, drawn_denial
from xlip.batches.descriptions import Lender, describe
from xlip.batches.draws import row_draws, seed_of
from xlip.batches.pixels import as_pixels
from xlip.batches.regions import finding_region
from xlip.batches.sentences import SentenceBank
from xlip.batches.study_table import SetConfig, StudyTable, epoch_order
from xlip.batches.text_batch import TextBatch
from xlip.images.any_form import square
from xlip.reports.entities import kinds_in_report
from xlip.study.attributes import attribute_families, attribute_targets
from xlip.study.labels import UNKNOWN, label_codes
from xlip.study.prompts import PromptSet
from xlip.study.record import Study

if TYPE_CHECKING:
    from xlip.batches.processor import XLIPProcessor

STREAMS = ("pairs", "images", "texts")
CACHE_BYTES = 1 << 30
"""Decoded images are kept in memory up to this, by all workers of a machine together; beyond it they are decoded again
every epoch."""


@dataclass(frozen=True)
class Streams:
    """Sets of each stream and how many of their studies make up a step, of all ranks together."""

    pairs: list[SetConfig] = field(default_factory=list)
    """Prepared sets whose images and reports belong together."""
    images: list[SetConfig] = field(default_factory=list)
    """Prepared sets of which the images are used alone."""
    texts: list[SetConfig] = field(default_factory=list)
    """Prepared sets of which the reports are used alone."""
    mix: dict[str, int] = field(default_factory=lambda: {"pairs": 32, "images": 48, "texts": 32})
    """Studies of each stream in a step, of all processes together."""
    test_sets: list[str] = field(default_factory=list)
    """Prepared test sets (PATH or PATH:SPLIT): training is refused while one of their images or patients is in it."""
    borrowed: float = 0.5
    """Share of the sentences in the descriptions of lone images that are taken from reports stating the same, where
    there are any (see `SentenceBank`); the others are made from prompts."""
    order: str = "auto"
    """How the studies of an epoch are shuffled: by `rows`, all of them; by `groups`, row groups of the files in random
    order, of which the rows of a window are mixed at a time, so that files are read in large pieces; or `auto`: by
    groups where a stream reads more than `WINDOW_BYTES`."""
    exclusions: str = ""
    """List that `xlip audit --write-exclusions` wrote: its studies are left out."""


class BatchSampler:
    """Makes the batch of any step."""

    def __init__(
        self,
        tables: dict[str, StudyTable],
        mix: dict[str, int],
        processor: XLIPProcessor,
        prompts: PromptSet,
        kinds: Sequence[str],
        *,
        augment: Augment | None,
        seed: int,
        rank: int = 0,
        ranks: int = 1,
        attributes: bool = False,
        denials: bool = False,
        regions: bool = False,
        borrowed: float = 0.0,
        as_bytes: bool = False,
        samplers: int = 1,
    ) -> None:
        """`as_bytes`: leave pixels as uint8, for a device to augment (`Batch.ready`). `samplers`: how many there are on
        this machine, as workers: together they keep no more than `CACHE_BYTES`.
        """
        self.most_bytes = CACHE_BYTES // max(samplers, 1)
        self.tables, self.mix, self.processor, self.prompts = tables, mix, processor, prompts
        self.kinds, self.augment, self.seed, self.rank, self.ranks = tuple(kinds), augment, seed, rank, ranks
        self.attributes, self.denials, self.regions, self.as_bytes = attributes, denials, regions, as_bytes
        self._cache: dict[tuple[str, int], np.ndarray[Any, Any]] = {}
        self._cached_bytes = 0
        self._read: dict[tuple[str, int], np.ndarray[Any, Any]] = {}
        self._orders: dict[tuple[str, int], np.ndarray[Any, Any]] = {}
        self._lender: Lender | None = None
        if borrowed and len(tables["images"]):
            self._lender = Lender(
                SentenceBank(one for name in ("pairs", "texts") for one in tables[name].read_reports()), borrowed
            )

    def __call__(self, step: int) -> Batch:
        """The batch of a step of this rank."""
        taken = {name: self.indices(name, step) for name in STREAMS}
        for name in STREAMS:
            if taken[name]:
                self.tables[name].fetch(taken[name])
        drawn = {name: [(i, self.tables[name][i]) for i in taken[name]] for name in STREAMS}
        seeds = {
            name: [seed_of(self.seed, "draws", name, place) for place in self.places(name, step)] for name in STREAMS
        }
        image_seeds, report_seeds = (torch.tensor(seeds["pairs"] + seeds[name]).long() for name in ("images", "texts"))
        pairs, images, texts = (drawn[name] for name in STREAMS)
        pixels = self._pixels([("pairs", *item) for item in pairs] + [("images", *item) for item in images])
        with_image = [study for _, study in pairs + images]
        with_report = [study for _, study in pairs + texts]
        reports = [study.report or "" for study in with_report]
        read = self._report_labels([("pairs", *item) for item in pairs] + [("texts", *item) for item in texts])
        labels = label_codes([study.labels for study in with_image], self.kinds)
        own = labels[: len(pairs)]
        own[own == UNKNOWN] = read[: len(pairs)][own == UNKNOWN]  # a label of the data set outweighs the report
        return Batch(
            pixels=self._augmented(pixels, image_seeds),
            image_labels=torch.from_numpy(labels),
            reports=self.processor.texts(reports, [study.entities for study in with_report]),
            report_labels=torch.from_numpy(read),
            report_key=torch.tensor([_key(text) for text in reports], dtype=torch.long),
            prompts=self._prompts(step),
            pairs=len(pairs),
            kinds=self.kinds,
            attributes=self._attribute_targets(with_image),
            attribute_texts=self._drawn("attributes", step, attribute_families() if self.attributes else []),
            image_seeds=image_seeds,
            report_seeds=report_seeds,
            image_studies=tuple(study.study_id for study in with_image),
            report_studies=tuple(study.study_id for study in with_report),
            **self._described([study for _, study in images], image_seeds[len(pairs) :]),
            **self._denied(with_report, report_seeds, step),
            regions=self._regions(with_image, image_seeds),
        )

    def indices(self, stream: str, step: int) -> list[int]:
        """Rows of a stream's table that this rank takes at a step: every epoch is a permutation of its own."""
        size = len(self.tables[stream])
        return [int(self._order(stream, p // size)[p % size]) for p in self.places(stream, step)]

    def places(self, stream: str, step: int) -> range:
        """Places in the endless sequence of a stream's epochs that this rank takes at a step; shares differ by one."""
        count = self.mix.get(stream, 0) if len(self.tables[stream]) else 0
        first, last = (count * rank // self.ranks for rank in (self.rank, self.rank + 1))
        return range(step * count + first, step * count + last)

    def _order(self, stream: str, epoch: int) -> np.ndarray[Any, Any]:
        if (stream, epoch) not in self._orders:
            # A step reaches into the next epoch; ranks may skip whole ones.
            self._orders = {
                key: order for key, order in self._orders.items() if key[0] != stream or key[1] == epoch - 1
            }
            rng = np.random.default_rng(seed_of(self.seed, stream, epoch))
            self._orders[stream, epoch] = epoch_order(self.tables[stream], rng)
        return self._orders[stream, epoch]

    def _pixels(self, items: list[tuple[str, int, Study]]) -> Tensor:
        size = self.processor.image_size
        stacked = np.zeros((len(items), size, size), np.uint8)
        for number, (stream, index, study) in enumerate(items):
            key = (stream, index)
            if key not in self._cache:
                assert study.image is not None
                fitted = square(study.image, size, self.processor.preprocess)
                if self._cached_bytes + fitted.nbytes > self.most_bytes:
                    stacked[number] = fitted
                    continue
                self._cache[key] = fitted
                self._cached_bytes += fitted.nbytes
            stacked[number] = self._cache[key]
        return torch.from_numpy(stacked).unsqueeze(1)

    def _augmented(self, squares: Tensor, seeds: Tensor) -> Tensor:
        if self.as_bytes:
            return squares
        pixels = as_pixels(squares[:, 0].numpy())
        return self.augment(pixels, row_draws(seeds, "augment")) if self.augment else pixels

    def _regions(self, studies: Sequence[Study], seeds: Tensor) -> Tensor:
        if not self.regions or not studies:
            return torch.zeros(len(studies), 0)
        found = np.stack([finding_region(one, self.processor.preprocess) for one in studies])
        if self.as_bytes:
            return torch.from_numpy(found).unsqueeze(1)
        regions = as_pixels(found)
        return self.augment.placed(regions, seeds) if self.augment else regions

    def _report_labels(self, items: list[tuple[str, int, Study]]) -> np.ndarray[Any, Any]:
        """(R, K) int8 codes of what the reports say; each is read once, also where the file does not say it."""
        codes = np.full((len(items), len(self.kinds)), UNKNOWN, np.int8)
        for number, (stream, index, study) in enumerate(items):
            if (stream, index) not in self._read:
                stated = kinds_in_report(study)
                found = label_codes([stated], self.kinds)[0]
                if stated:
                    found[found == UNKNOWN] = self.tables[stream].silence(index)
                self._read[stream, index] = found
            codes[number] = self._read[stream, index]
        return codes

    def _prompts(self, step: int) -> TextBatch:
        """One positive and one negative text of each kind."""
        families = [self.prompts.positive(kind) for kind in self.kinds]
        families += [self.prompts.negative(kind) for kind in self.kinds]
        return self._drawn("prompts", step, families)

    def _attribute_targets(self, studies: Sequence[Study]) -> Tensor:
        if not self.attributes:
            return torch.zeros(len(studies), 0)
        return torch.from_numpy(attribute_targets(studies))

    def _described(self, studies: Sequence[Study], seeds: Tensor) -> dict[str, Any]:
        """Descriptions of lone images, drawn anew for every epoch, and their meanings."""
        draws = [np.random.default_rng(seed_of(seed, "description")) for seed in seeds.tolist()]
        made = [
            describe(one, self.kinds, self.prompts, rng, self._lender) for one, rng in zip(studies, draws, strict=True)
        ]
        keys = [_key(one.meaning) if one and one.meaning else 0 for one in made]
        return {
            "descriptions": self.processor.texts(
                [one.text if one else "" for one in made], [one.entities if one else () for one in made]
            ),
            "described": torch.tensor([one is not None for one in made], dtype=torch.bool),
            "meaning": torch.tensor(keys, dtype=torch.long),
        }

    def _denied(self, studies: Sequence[Study], seeds: Tensor, step: int) -> dict[str, Any]:
        """A denial of every kind by its name, and one sentence of each report that has any."""
        found: list[Denial] = []
        if self.denials:
            rng = np.random.default_rng(seed_of(self.seed, "denials", step))
            families = [(kind, self.prompts.denials(kind)) for kind in self.kinds]
            found = [Denial(texts[int(rng.integers(len(texts)))], frozenset({kind})) for kind, texts in families]
            draws = [np.random.default_rng(seed_of(seed, "denial")) for seed in seeds.tolist()]
            own = [drawn_denial(one, self.kinds, draw) for one, draw in zip(studies, draws, strict=True)]
            found += [one for one in own if one]
        texts = self.processor.texts([one.text for one in found])
        return {"denials": texts, "denied": torch.from_numpy(denied_columns(found, self.kinds))}

    def _drawn(self, name: str, step: int, families: Sequence[Sequence[str]]) -> TextBatch:
        """One text of each family, the same on every rank."""
        rng = np.random.default_rng(seed_of(self.seed, name, step))
        return self.processor.texts([texts[int(rng.integers(len(texts)))] for texts in families])


def _key(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=7).digest(), "big")
