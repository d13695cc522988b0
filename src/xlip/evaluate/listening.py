"""Do the decoders use the other side? Reconstructions with right, wrong and no text; hidden words with right, wrong and
no image.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from xlip.batches.processor import XLIPProcessor
from xlip.errors import XLIPError
from xlip.evaluate.interaction import ProbeCases, cell_shares, summary
from xlip.metrics.auroc import auroc
from xlip.models.xlip import XLIPModel
from xlip.objectives.attmim import DecoderText, reconstruct
from xlip.objectives.entmlm import image_context
from xlip.objectives.pixel_targets import patches, pixel_target
from xlip.results.typed import finite
from xlip.study.record import Entity

Array = np.ndarray[Any, Any]
SIDES = ("left", "right")
BATCH = 64


@torch.no_grad()
def reconstruction_figures(
    model: XLIPModel, cases: ProbeCases, *, where: str, target: str, ratio: float, seed: int = 0
) -> dict[str, Any]:
    """Squared error of hidden pixels inside and outside lesions with the right text, a wrong one and none.

    Every cell that holds a pixel of the lesion is hidden where `ratio` allows it, the fullest first, and random ones
    besides: the finding can be seen only through neighbouring features, where `where` is `feature`. The wrong text is
    the report of the next phantom that has another finding. Errors are of pixels normalised as `target` says; a
    finding's are averaged over its pixels, then over phantoms.
    """
    rows = cases.single
    other = _others([cases.phantoms[i].findings[0].kind for i in rows])
    reports = _Texts([cases.phantoms[i].report for i in rows], model)
    pixels, lesions = cases.pixels[rows], cases.lesions[rows]
    hidden = _covering(cell_shares(lesions, model.image_tower.grid), ratio, seed)
    inside = patches(lesions[:, None].float(), model.image_tower.patch_size) > 0
    truth, _ = pixel_target(pixels, model.image_tower.patch_size, target)
    errors: dict[str, list[Tensor]] = {"right": [], "wrong": [], "none": []}
    for start in range(0, len(rows), BATCH):
        part = slice(start, start + BATCH)
        tokens = model.images(pixels[part]).tokens
        for name, chosen in (("right", list(range(len(rows)))), ("wrong", other), ("none", other)):
            text = reports(chosen[part])
            text = text._replace(read=text.read & (name != "none"))
            made = reconstruct(model, pixels[part], tokens, hidden[part], text, where)
            errors[name].append((made - truth[part]).pow(2))
    found = {name: torch.cat(parts) for name, parts in errors.items()}
    return _by_text(found, inside & hidden[..., None], ~inside & hidden[..., None])


def _by_text(errors: dict[str, Tensor], inside: Tensor, outside: Tensor) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    means = {}
    for name, error in errors.items():
        for place, chosen in (("inside", inside), ("outside", outside)):
            means[name, place] = _row_means(error, chosen)
            figures[f"error_{place}_{name}"] = summary(means[name, place])
    for name in ("wrong", "none"):
        gain = means[name, "inside"] - means["right", "inside"]
        figures[f"gain_over_{name}"] = summary(gain)
        figures[f"gain_over_{name}_share"] = finite(float(np.nanmean(gain) / np.nanmean(means[name, "inside"])))
    return figures


def _row_means(values: Tensor, chosen: Tensor) -> Array:
    total = (values * chosen).sum((1, 2)).double().numpy()
    with np.errstate(invalid="ignore", divide="ignore"):
        means: Array = total / chosen.sum((1, 2)).numpy()
    return means


def _covering(shares: Tensor, ratio: float, seed: int) -> Tensor:
    """(n, cells) bool with round(ratio * cells) hidden: those of the lesion first, the fullest before."""
    noise = torch.rand(shares.shape, generator=torch.Generator().manual_seed(seed)) * 1e-6
    chosen = (shares + noise).topk(round(ratio * shares.shape[1]), 1).indices
    return torch.zeros_like(shares, dtype=torch.bool).scatter(1, chosen, True)


def _others(kinds: Sequence[str]) -> list[int]:
    """For each case the next one of another kind."""
    found = []
    for i, kind in enumerate(kinds):
        ahead = ((i + step) % len(kinds) for step in range(1, len(kinds)))
        other = next((j for j in ahead if kinds[j] != kind), None)
        if other is None:
            raise XLIPError(f"probe.singles: all {len(kinds)} phantoms show {kind}; ask for more, such as 20")
        found.append(other)
    return found


class _Texts:
    """Texts through the tower, by row."""

    def __init__(self, texts: Sequence[str], model: XLIPModel) -> None:
        encoded = model.texts(_processor(model).texts(texts))
        self._all = DecoderText(encoded.tokens, encoded.mask, encoded.embedding)

    def __call__(self, rows: Sequence[int]) -> DecoderText:
        return DecoderText(*(one[list(rows)] for one in self._all))


@torch.no_grad()
def word_figures(model: XLIPModel, cases: ProbeCases) -> dict[str, Any]:
    """Top-1 and cross-entropy of hidden finding words and side words with the right, a shuffled and no image."""
    rows = cases.single
    other = _others([cases.phantoms[i].findings[0].kind for i in rows])
    return {name: _words(model, cases, rows, other, name) for name in ("finding", "side")}


def _words(model: XLIPModel, cases: ProbeCases, rows: list[int], other: list[int], what: str) -> dict[str, Any]:
    processor = _processor(model)
    texts = [cases.phantoms[i].report for i in rows]
    wanted = [_wanted(cases.phantoms[i].report, cases.phantoms[i].entities, what) for i in rows]
    inputs = processor.texts(texts, wanted)
    hidden = inputs.is_entity & inputs.mask
    masked = inputs.with_ids(inputs.ids.masked_fill(hidden, model.mask_token_id))
    tokens = model.texts(masked).tokens
    pixels = cases.pixels[rows]
    parts = []
    for start in range(0, len(rows), BATCH):
        images = model.images(pixels[start : start + BATCH])
        parts.append((image_context(model, images), images.embedding))
    context, embedding = (torch.cat(one) for one in zip(*parts, strict=True))
    figures: dict[str, Any] = {"words": int(hidden.sum())}
    seen = torch.ones(len(rows), dtype=torch.bool)
    views = (("right", slice(None), seen), ("shuffled", other, seen), ("null", slice(None), ~seen))
    for name, shown, with_image in views:
        features = model.text_decoder(tokens, masked.mask, context[shown], embedding[shown], with_image)[hidden]
        logits = model.text_decoder.logits(features, model.text_tower.word_embeddings).float()
        truth = inputs.ids[hidden]
        figures[f"top1_{name}"] = finite(float((logits.argmax(-1) == truth).float().mean()))
        figures[f"cross_entropy_{name}"] = finite(float(F.cross_entropy(logits, truth)))
    return figures


def _wanted(report: str, entities: Sequence[Entity], what: str) -> tuple[Entity, ...]:
    """The words to hide: those of the finding that is there, or 'left' and 'right'."""
    if what == "finding":
        return tuple(one for one in entities if one.type == "finding" and one.assertion != "absent")
    sided = (one for one in entities if one.type == "location")
    return tuple(one for one in sided if report[one.start : one.end].lower().startswith(SIDES))


@torch.no_grad()
def side_auroc(
    model: XLIPModel, cases: ProbeCases, kind: str = "Effusion", words: str = "pleural effusion"
) -> float | None:
    """AUROC of 'left X' against 'right X', zero-shot, on phantoms with X on one side; None without one of each."""
    sides: dict[int, str] = {}
    for i, one in enumerate(cases.phantoms):
        found = {finding.side for finding in one.findings if finding.kind == kind}
        if len(found) == 1 and found < set(SIDES):
            sides[i] = found.pop()
    if set(sides.values()) != set(SIDES):
        return None
    texts = model.encode_text([f"{side} {words}" for side in SIDES])
    scores = model.encode_pixels(cases.pixels[list(sides)]) @ (texts[0] - texts[1])
    truth = np.array([side == "left" for side in sides.values()]).astype(int)
    return float(auroc(truth, scores.double().numpy())[0])


def _processor(model: XLIPModel) -> XLIPProcessor:
    if model.processor is None:
        raise ValueError("this model has no processor: set `model.processor`, or load it by from_pretrained")
    return model.processor
