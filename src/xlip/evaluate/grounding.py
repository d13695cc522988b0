"""Phrase grounding: does a patch answer to the words where the finding is? Against boxes or masks."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from xlip.batches.regions import kind_regions
from xlip.errors import XLIPError
from xlip.evaluate.adapter import ImageTextModel, adapted
from xlip.evaluate.cases import Case, Cases, Origin
from xlip.evaluate.heatmap import has_local_maps, heat_maps
from xlip.evaluate.pixels import pixel_batches
from xlip.evaluate.prompt_choice import split_cases
from xlip.evaluate.zeroshot import text_classifier
from xlip.identity import split_id
from xlip.images.files import decode
from xlip.images.square import fit
from xlip.metrics.grounding import SIZES, choose_heat_threshold, cnr, iou, iou_at, pointing_game, size_of
from xlip.models.xlip import XLIPModel
from xlip.results.figures import GroundingFigures
from xlip.results.intervals import mean_with_interval
from xlip.results.regions import AbsentFigures, RegionFigures
from xlip.results.result import Array, Result
from xlip.runtime.encoder import preprocessing_id
from xlip.sources.source import is_table
from xlip.study.labels import ABSENT
from xlip.study.prompts import PromptSet, load_prompts

FIGURES = ("pointing", "iou", "cnr", "iou_chosen")


@dataclass(frozen=True)
class Grounding:
    """Phrase grounding: the options of the evaluator.

    The map of a kind is enlarged to the image; a kind's boxes or masks in an image make one region.
    """

    prompts: str = "xlip"
    by: str = "auto"
    """occlusion: what the cosine to the positive prompts, less that to the negative ones, loses when a cell is blurred
    (65 encodings an image); patches: the same difference of each place's own embedding (one encoding); auto: patches
    where the model has a local head, which is trained to point, else occlusion."""
    thresholds: tuple[float, ...] = (0.1, 0.2, 0.3, 0.4, 0.5)
    """Thresholds on the map, scaled to [0, 1] in each image; `iou` is the mean over them."""
    phrases: bool = False
    """Ask with the words that the boxes stand for (MS-CXR) instead of prompts; regions without words are left out."""
    chosen_on: str = "val"
    """Split whose regions choose the threshold of the heat for `iou_chosen` and `absent`; where there is none, these
    are not measured. Never a test part, nor the images that are evaluated."""
    most_validation: int = 300
    """Regions that the threshold is chosen on, the first of the split."""
    most_absent: int = 200
    """Images without any region that are looked at beside those with one, for what is coloured where nothing is."""
    batch_size: int = 32
    replicates: int = 1000
    seed: int = 0
    name: ClassVar[str] = "grounding"
    require: ClassVar[str] = "regions"

    def __post_init__(self) -> None:
        if self.by not in ("auto", "occlusion", "patches"):
            raise XLIPError(f"grounding.by: expected auto, occlusion or patches, got {self.by!r}")

    def run(self, model: XLIPModel | ImageTextModel, data: Cases) -> Result:
        """`pointing` (share of maps whose hottest pixel lies in the region), `iou` and signed `cnr`, over all regions
        and per kind, with intervals; `region_share` is what pointing at random would give.

        Raises:
            XLIPError: no region, or, by patches, a model without them in the joint space.
        """
        start = time.perf_counter()
        subject, prompts = adapted(model), load_prompts(self.prompts)
        by = ("patches" if has_local_maps(subject) else "occlusion") if self.by == "auto" else self.by
        ask = _Asking(self, subject, prompts, by)
        threshold, chosen_on = self._threshold(ask, data)
        ids: list[str] = []
        found: dict[str, list[dict[str, Any]]] = defaultdict(list)
        lacking: dict[str, list[tuple[str, float]]] = defaultdict(list)
        kinds = data.kinds if threshold is not None and not self.phrases else []
        for case, maps, regions in ask.maps(data, kinds):
            ids += [case.study_id]
            for (kind, words), region in regions.items():
                measured = self._measured(maps[kind, words], region, threshold)
                found[kind].append({"patient": case.patient_id, "size": size_of(region), **measured})
            _lacking(lacking, case, maps, threshold)
        if not found:
            raise XLIPError(f"{data.name}: no box or mask inside a readable image; grounding needs `boxes` or `masks`")
        for case, maps, _ in ask.maps(_without_regions(data, self.most_absent), kinds) if kinds else ():
            _lacking(lacking, case, maps, threshold)
        rows = [row for several in found.values() for row in several]
        by_size = {name: [row for row in rows if row["size"] == name] for name in SIZES}
        identity = {
            "prompts": prompts.identifier,
            "split": split_id(data.name, ids),
            "preprocessing": preprocessing_id(subject),
            "checkpoint": subject.identity,
            "by": by,
            **({"asked": "phrases"} if self.phrases else {}),
        }
        figures = GroundingFigures(
            images=len(ids),
            dropped=len(data.dropped),
            replicates=self.replicates,
            bootstrap_seed=self.seed,
            **self._summary(rows),
            regions_of_kind={kind: RegionFigures(**self._summary(several)) for kind, several in sorted(found.items())},
            sizes={name: RegionFigures(**self._summary(several)) for name, several in by_size.items() if several},
            threshold=threshold,
            threshold_chosen_on=chosen_on,
            absent={kind: self._absent(lacking[kind]) for kind in sorted(found) if lacking[kind]},
        )
        dropped, seconds = tuple(data.dropped), time.perf_counter() - start
        return Result(self.name, identity, figures, dropped=dropped, seconds=seconds)

    def _threshold(self, ask: _Asking, data: Cases) -> tuple[float | None, str]:
        """The threshold of the heat, and the regions that it was chosen on; (None, '') where there are none."""
        unseen = _validation(data, self.chosen_on)
        if unseen is None:
            return None, ""
        maps: list[Array] = []
        shapes: list[Array] = []
        ids: list[str] = []
        for case, heats, regions in ask.maps(unseen, ()):
            ids.append(case.study_id)
            maps += [heats[asked] for asked in regions]
            shapes += list(regions.values())
            if len(maps) >= self.most_validation:
                break
        return (choose_heat_threshold(maps, shapes), split_id(unseen.name, ids)) if maps else (None, "")

    def _absent(self, rows: list[tuple[str, float]]) -> AbsentFigures:
        patients, areas = np.array([patient for patient, _ in rows]), np.array([area for _, area in rows])
        area = mean_with_interval(areas, patients, replicates=self.replicates, seed=self.seed)
        return AbsentFigures(images=len(rows), area=area, coloured=float((areas > 0).mean()))

    def asked(self, case: Case, subject: ImageTextModel) -> list[tuple[str, str, Array]]:
        """Kind, words that are looked for ('' for its prompts) and region of everything that a case has a region of."""
        found = [
            (kind, case.phrases.get(kind, "") if self.phrases else "", region)
            for kind, region in _regions(case, subject)
        ]
        return [one for one in found if one[1] or not self.phrases]

    @staticmethod
    def pair(subject: ImageTextModel, prompts: PromptSet, kind: str, words: str) -> Tensor:
        """(2, E): the words, or the kind's positive prompts, and its negative ones."""
        pair = text_classifier(subject, prompts, [kind])[0]
        return torch.stack([subject.encode_text([words])[0], pair[1]]) if words else pair

    def _measured(self, heat: Array, region: Array, threshold: float | None) -> dict[str, float]:
        low, high = heat.min(), heat.max()
        scaled = (heat - low) / (high - low) if high > low else np.zeros_like(heat)
        overlap = iou_at(scaled, region, self.thresholds)
        return {
            "pointing": pointing_game(heat, region),
            "iou": float(np.mean(list(overlap.values()))),
            "cnr": cnr(heat, region),
            "region_share": float(region.mean()),
            **({} if threshold is None else {"iou_chosen": iou(heat >= threshold, region)}),
        }

    def _summary(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        patients = np.array([row["patient"] for row in rows])
        summary: dict[str, Any] = {"regions": len(rows)}
        for name in (name for name in FIGURES if not rows or name in rows[0]):
            values = np.array([row[name] for row in rows])
            known = np.isfinite(values)  # the CNR of a region that is the whole image is none
            summary[name] = mean_with_interval(
                values[known], patients[known], replicates=self.replicates, seed=self.seed
            )
        summary["region_share"] = float(np.mean([row["region_share"] for row in rows]))
        return summary


Asked = tuple[str, str]
"""A kind, and the words that it is looked for by; '' for its prompts."""


@dataclass
class _Asking:
    """Maps of one model, and the texts that it was asked with, each encoded once."""

    options: Grounding
    subject: ImageTextModel
    prompts: PromptSet
    by: str
    pairs: dict[Asked, Tensor | None] = field(default_factory=dict)
    """None: the prompt set has nothing for it."""

    def maps(self, data: Cases, absent: Sequence[str]) -> Iterator[tuple[Case, dict[Asked, Array], dict[Asked, Array]]]:
        """Each readable case with its maps (S, S) and its regions (S, S) bool.

        Maps are of everything that the case has a region of, and of those of the kinds `absent` that it lacks by its
        labels. A kind with a region and without prompts is a fault; one that is absent is passed over.
        """
        for cases, pixels in pixel_batches(self.subject, data, self.options.batch_size):
            regions = [
                {(kind, words): region for kind, words, region in self.options.asked(case, self.subject)}
                for case in cases
            ]
            lacking = [[(kind, "") for kind in absent if case.labels.get(kind) == ABSENT] for case in cases]
            wanted = sorted(
                {asked for several in regions for asked in several if self._pair(asked, needed=True) is not None}
                | {asked for several in lacking for asked in several if self._pair(asked, needed=False) is not None}
            )
            if not wanted:
                yield from ((case, {}, {}) for case in cases)
                continue
            stacked = torch.stack([pair for asked in wanted if (pair := self.pairs[asked]) is not None])
            heats = heat_maps(self.subject, pixels, stacked, self.by)
            for case, inside, outside, of_words in zip(cases, regions, lacking, heats, strict=True):
                shown = {
                    asked: _enlarged(torch.from_numpy(of_words[wanted.index(asked)]), self.subject.image_size)
                    for asked in (*inside, *outside)
                    if asked in wanted
                }
                yield case, shown, inside

    def _pair(self, asked: Asked, *, needed: bool) -> Tensor | None:
        if self.pairs.get(asked) is None and (needed or asked not in self.pairs):
            try:
                self.pairs[asked] = self.options.pair(self.subject, self.prompts, *asked)
            except XLIPError:
                if needed:
                    raise
                self.pairs[asked] = None
        return self.pairs[asked]


def _lacking(
    into: dict[str, list[tuple[str, float]]], case: Case, maps: dict[Asked, Array], threshold: float | None
) -> None:
    """Add patient and coloured share of every kind that the labels of a case deny."""
    for (kind, words), heat in maps.items():
        if threshold is not None and not words and case.labels.get(kind) == ABSENT:
            into[kind].append((case.patient_id, float((heat >= threshold).mean())))


def _validation(data: Cases, split: str) -> Cases | None:
    """Cases with regions that may choose a threshold for `data`; None where the set has no such split.

    Raises:
        XLIPError: a test part, or a patient on both sides.
    """
    # Cases that are the whole set, or that split itself, leave nothing to choose on.
    if not split or data.origin is None or is_table(data.origin.data) or data.origin.split in ("", split):
        return None
    unseen = split_cases(data, split)
    if unseen is None:
        return None
    assert unseen.origin is not None
    origin = replace(unseen.origin, require="regions")
    return replace(unseen, items=_Cases(origin), origin=origin)


def _without_regions(data: Cases, most: int) -> Cases:
    """The first labelled cases of the same split that have no region."""
    if data.origin is None or is_table(data.origin.data):
        return Cases(data.name, [], data.kinds)
    origin = replace(data.origin, require="labels")
    found = (case for case in origin.cases() if not case.boxes and not case.masks)
    return Cases(data.name, islice(found, most), data.kinds)


@dataclass(frozen=True)
class _Cases:
    """Cases that can be iterated over more than once."""

    origin: Origin

    def __iter__(self) -> Iterator[Case]:
        return self.origin.cases()


def _enlarged(heat: Tensor, size: int) -> Array:
    """(rows, columns) -> (size, size), bilinear."""
    return F.interpolate(heat[None, None].float(), (size, size), mode="bilinear", align_corners=False)[0, 0].numpy()


def _regions(case: Case, model: ImageTextModel) -> Iterator[tuple[str, Array]]:
    """Each kind's region as (S, S) bool, made square as the image was; one that is cut away entirely is left out."""
    image = case.image
    for kind, region in kind_regions(case.masks, case.boxes, lambda: decode(image or b"").shape).items():
        fitted = fit(region.astype(np.uint8) * 255, model.image_size, model.preprocess) >= 128
        if fitted.any():
            yield kind, fitted
