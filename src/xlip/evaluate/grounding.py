"""Phrase grounding: does a patch answer to the words where the finding is? Against boxes or masks."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from xlip.errors import XLIPError
from xlip.evaluate.adapter import ImageTextModel, adapted, preprocessing_id
from xlip.evaluate.cases import Case, Cases
from xlip.evaluate.embeddings import pixel_batches
from xlip.evaluate.heatmap import has_local_maps, heat_maps
from xlip.evaluate.zeroshot import text_classifier
from xlip.identity import split_id
from xlip.images.files import decode
from xlip.images.square import fit
from xlip.metrics.grounding import box_region, cnr, iou_at, pointing_game
from xlip.models.xlip import XLIPModel
from xlip.results.figures import GroundingFigures, RegionFigures
from xlip.results.intervals import mean_with_interval
from xlip.results.result import Array, Result
from xlip.study.prompts import PromptSet, load_prompts

FIGURES = ("pointing", "iou", "cnr")


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
    """Of the map scaled to [0, 1] in each image; `iou` is the mean over them."""
    phrases: bool = False
    """Ask with the words that the boxes stand for (MS-CXR) instead of prompts; regions without words are left out."""
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
        ids: list[str] = []
        found: dict[str, list[dict[str, Any]]] = defaultdict(list)
        pairs: dict[tuple[str, str], Tensor] = {}
        for cases, pixels in pixel_batches(subject, data, self.batch_size):
            ids += [case.study_id for case in cases]
            asked = [self._asked(case, subject) for case in cases]
            wanted = sorted({(kind, words) for several in asked for kind, words, _ in several})
            if not wanted:
                continue
            for kind, words in wanted:
                if (kind, words) not in pairs:
                    pairs[kind, words] = self._pair(subject, prompts, kind, words)
            maps = heat_maps(subject, pixels, torch.stack([pairs[one] for one in wanted]), by)
            for case, several, of_words in zip(cases, asked, maps, strict=True):
                for kind, words, region in several:
                    heat = _enlarged(torch.from_numpy(of_words[wanted.index((kind, words))]), subject.image_size)
                    found[kind].append({"patient": case.patient_id, **self._measured(heat, region)})
        if not found:
            raise XLIPError(f"{data.name}: no box or mask inside a readable image; grounding needs `boxes` or `masks`")
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
            **self._summary([row for rows in found.values() for row in rows]),
            regions_of_kind={kind: RegionFigures(**self._summary(rows)) for kind, rows in sorted(found.items())},
        )
        dropped, seconds = tuple(data.dropped), time.perf_counter() - start
        return Result(self.name, identity, figures, dropped=dropped, seconds=seconds)

    def _asked(self, case: Case, subject: ImageTextModel) -> list[tuple[str, str, Array]]:
        """Kind, words that are looked for ('' for its prompts) and region of everything that a case has a region of."""
        found = [
            (kind, case.phrases.get(kind, "") if self.phrases else "", region)
            for kind, region in _regions(case, subject)
        ]
        return [one for one in found if one[1] or not self.phrases]

    @staticmethod
    def _pair(subject: ImageTextModel, prompts: PromptSet, kind: str, words: str) -> Tensor:
        """(2, E): the words, or the kind's positive prompts, and its negative ones."""
        pair = text_classifier(subject, prompts, [kind])[0]
        return torch.stack([subject.encode_text([words])[0], pair[1]]) if words else pair

    def _measured(self, heat: Array, region: Array) -> dict[str, float]:
        low, high = heat.min(), heat.max()
        scaled = (heat - low) / (high - low) if high > low else np.zeros_like(heat)
        overlap = iou_at(scaled, region, self.thresholds)
        return {
            "pointing": pointing_game(heat, region),
            "iou": float(np.mean(list(overlap.values()))),
            "cnr": cnr(heat, region),
            "region_share": float(region.mean()),
        }

    def _summary(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        patients = np.array([row["patient"] for row in rows])
        summary: dict[str, Any] = {"regions": len(rows)}
        for name in FIGURES:
            values = np.array([row[name] for row in rows])
            known = np.isfinite(values)  # the CNR of a region that is the whole image is none
            summary[name] = mean_with_interval(
                values[known], patients[known], replicates=self.replicates, seed=self.seed
            )
        summary["region_share"] = float(np.mean([row["region_share"] for row in rows]))
        return summary


def _enlarged(heat: Tensor, size: int) -> Array:
    """(rows, columns) -> (size, size), bilinear."""
    return F.interpolate(heat[None, None].float(), (size, size), mode="bilinear", align_corners=False)[0, 0].numpy()


def _regions(case: Case, model: ImageTextModel) -> Iterator[tuple[str, Array]]:
    """Each kind's region as (S, S) bool, made square as the image was; one that is cut away entirely is left out."""
    shapes = {kind: decode(png) >= 128 for kind, png in case.masks.items()}
    boxed = {box.kind for box in case.boxes} - set(shapes)
    if boxed:
        assert case.image is not None
        shape = decode(case.image).shape
        for kind in sorted(boxed):
            sides = [(box.x, box.y, box.width, box.height) for box in case.boxes if box.kind == kind]
            shapes[kind] = box_region(sides, shape)
    for kind, region in shapes.items():
        fitted = fit(region.astype(np.uint8) * 255, model.image_size, model.preprocess) >= 128
        if fitted.any():
            yield kind, fitted
