"""Does the text reach the image, and the image the text? Figures of maps, masks and both decoders on phantoms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from xlip.batches.pixels import as_pixels
from xlip.evaluate.zeroshot import text_classifier
from xlip.metrics.auroc import auroc
from xlip.models.xlip import XLIPModel
from xlip.objectives.masking import mask_patches
from xlip.objectives.response import kind_maps, kind_response
from xlip.phantom import PHANTOM_KINDS, Phantom, generate
from xlip.results.intervals import mean_with_interval
from xlip.study.prompts import load_prompts

Array = np.ndarray[Any, Any]
LESION_SHARE = 0.25
"""Of a cell's pixels: from here on the cell counts as part of the finding; the fullest cell always does."""


@dataclass(frozen=True)
class ProbeCases:
    """Phantoms with their truth, none of which was trained on."""

    phantoms: tuple[Phantom, ...]
    pixels: Tensor
    """(n, 1, S, S) in [0, 1]."""
    lesions: Tensor
    """(n, S, S) bool: the pixels of any finding."""

    @property
    def single(self) -> list[int]:
        """Those with one finding that changes a pixel."""
        return [i for i, one in enumerate(self.phantoms) if len(one.findings) == 1 and bool(self.lesions[i].any())]


def probe_cases(size: int, *, singles: int, seed: int, start: int) -> ProbeCases:
    """Phantoms from number `start` on, until `singles` of them have one finding alone; the others stay among them."""
    found: list[Phantom] = []
    count = 0
    while count < singles:
        found.append(generate(start + len(found), seed=seed, size=size))
        count += len(found[-1].findings) == 1
    pixels = as_pixels(np.stack([one.pixels for one in found]))
    masks = np.zeros((len(found), size, size), bool)
    for mask, one in zip(masks, found, strict=True):
        for finding in one.findings:
            mask |= finding.mask
    return ProbeCases(tuple(found), pixels, torch.from_numpy(masks))


def cell_shares(lesions: Tensor, grid: int) -> Tensor:
    """Share of each cell's pixels that are lesion, (n, grid * grid)."""
    return F.adaptive_avg_pool2d(lesions.float().unsqueeze(1), grid).flatten(1)


def lesion_cells(shares: Tensor) -> Tensor:
    """(n, cells) bool: cells of which a quarter is lesion, and the fullest cell of each image."""
    return (shares >= LESION_SHARE) | (shares == shares.max(1, keepdim=True).values) & (shares > 0)


def pointing(maps: Tensor, inside: Tensor) -> Array:
    """(n,) 1 where the hottest of the cells (n, cells) is inside, else 0; among equals the share that is."""
    hottest = maps == maps.max(1, keepdim=True).values
    return ((hottest & inside).sum(1) / hottest.sum(1)).double().numpy()


def cell_auroc(maps: Tensor, inside: Tensor) -> Array:
    """(n,) the area under the ROC curve of cells inside against the others of the same image."""
    rows = zip(maps.numpy(), inside.numpy(), strict=True)
    return np.array([float(auroc(truth.astype(int), scores)[0]) for scores, truth in rows])


def enrichment(maps: Tensor, shares: Tensor, ratio: float) -> Array:
    """(n,) share of the lesion that the hottest cells hide : share of the cells that they are."""
    count = round(ratio * maps.shape[1])
    chosen = torch.zeros_like(shares).scatter(1, maps.topk(count, 1).indices, 1.0)
    return hidden_enrichment(chosen.bool(), shares)


def hidden_enrichment(hidden: Tensor, shares: Tensor) -> Array:
    """(n,) share of the lesion that a mask (n, cells) hides : share of the cells that it hides."""
    caught = (shares * hidden).sum(1) / shares.sum(1)
    return (caught / hidden.float().mean(1)).double().numpy()


@torch.no_grad()
def phantom_maps(model: XLIPModel, cases: ProbeCases, prompts: str = "xlip", batch_size: int = 64) -> Tensor:
    """The map of every kind in every phantom, (n, K, cells)."""
    classifier = text_classifier(model, load_prompts(prompts), PHANTOM_KINDS)
    positive, negative = classifier[:, 0], classifier[:, 1]
    parts = []
    for start in range(0, len(cases.pixels), batch_size):
        pixels = cases.pixels[start : start + batch_size].to(model.device)
        parts.append(kind_maps(model, model.images(pixels), positive, negative).flatten(2).cpu())
    return torch.cat(parts)


def map_figures(model: XLIPModel, cases: ProbeCases, *, mode: str, prompts: str = "xlip") -> dict[str, Any]:
    """Pointing, AUROC of cells, enrichment of maps and of AttMIM's masks in a mode, and map maxima of present against
    absent kinds.
    """
    maps, grid = phantom_maps(model, cases, prompts), model.image_tower.grid
    rows = cases.single
    kinds = [cases.phantoms[i].findings[0].kind for i in rows]
    own = maps[rows, [PHANTOM_KINDS.index(kind) for kind in kinds]]
    shares = cell_shares(cases.lesions[rows], grid)
    inside = lesion_cells(shares)
    by_case = {
        "pointing": pointing(own, inside),
        "pointing_at_random": inside.float().mean(1).double().numpy(),
        "cell_auroc": cell_auroc(own, inside),
        "enrichment_quarter": enrichment(own, shares, 0.25),
        "enrichment_half": enrichment(own, shares, 0.5),
    }
    labels = torch.tensor([[one.labels[kind] for kind in PHANTOM_KINDS] for one in cases.phantoms])
    answer = kind_response(maps[rows].unflatten(-1, (grid, grid)), labels[rows])
    for name, ratio in (("quarter", 0.25), ("half", 0.5)):
        generator = torch.Generator().manual_seed(0)
        hidden = mask_patches(answer, ratio=ratio, mode=mode, attention_share=1.0, generator=generator)
        by_case[f"mask_enrichment_{name}"] = hidden_enrichment(hidden, shares)
    figures: dict[str, Any] = {name: summary(values) for name, values in by_case.items()}
    figures |= _present_against_absent(labels.numpy(), maps.amax(-1).double().numpy())
    figures["pointing_of_kind"] = {
        kind: float(np.mean(by_case["pointing"][[k == kind for k in kinds]])) for kind in sorted(set(kinds))
    }
    return figures


def _present_against_absent(labels: Array, peaks: Array) -> dict[str, Any]:
    areas = {kind: float(auroc(labels[:, k], peaks[:, k])[0]) for k, kind in enumerate(PHANTOM_KINDS)}
    known = {kind: area for kind, area in areas.items() if np.isfinite(area)}
    mean = float(np.mean(list(known.values()))) if known else None
    return {"present_against_absent": mean, "present_against_absent_of_kind": known}


def summary(values: Array, replicates: int = 1000) -> dict[str, Any]:
    """Mean over phantoms with a bootstrap interval; NaN cases left out."""
    known = values[np.isfinite(values)]
    return mean_with_interval(known, np.arange(len(known)), replicates=replicates, seed=0).to_json()
