"""Pictures of the interaction on phantoms: maps, masks, reconstructions with two texts; and words that come back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from xlip.batches.pixels import as_pixels
from xlip.evaluate.heatmap import LOCAL_SPAN, has_local_maps, heat_maps
from xlip.evaluate.zeroshot import text_classifier
from xlip.models.xlip import XLIPModel
from xlip.objectives.attmim import AttMIM, DecoderText, reconstruct
from xlip.objectives.entmlm import image_context
from xlip.objectives.masking import mask_patches
from xlip.objectives.pixel_targets import from_target, patches
from xlip.objectives.response import kind_maps, kind_response
from xlip.pages.plots import Panel, panel_grid
from xlip.phantom import PHANTOM_KINDS, Phantom, generate
from xlip.study.prompts import load_prompts

SHOWN = ("Effusion", "Pneumothorax", "Consolidation", "Mass", "Cardiomegaly", "Atelectasis")
WORDS_HEADER = ("report", "hidden", "with its image", "with another image", "without image")


def examples(model: XLIPModel, *, seed: int, start: int, count: int, kinds: Sequence[str] = SHOWN) -> list[Phantom]:
    """`count` phantoms with one finding alone of each kind, in the model's size, the first from number `start` on."""
    size = model.image_tower.grid * model.image_tower.patch_size
    found: dict[str, list[Phantom]] = {kind: [] for kind in kinds}
    index = start
    while any(len(some) < count for some in found.values()):
        phantom = generate(index, seed=seed, size=size)
        present = {finding.kind for finding in phantom.findings}
        alone = found.get(present.pop()) if len(present) == 1 else None
        if alone is not None and len(alone) < count:
            alone.append(phantom)
        index += 1
    return [phantom for some in found.values() for phantom in some]


@torch.no_grad()
def maps(model: XLIPModel, phantoms: Sequence[Phantom], columns: int = 2) -> bytes:
    """Each phantom with the outline of its finding, beside what speaks for the finding's prompt."""
    classifier = dict(zip(PHANTOM_KINDS, text_classifier(model, load_prompts("xlip"), PHANTOM_KINDS), strict=True))
    span = LOCAL_SPAN if has_local_maps(model) else None
    panels = []
    for phantom in phantoms:
        finding = phantom.findings[0]
        heat = heat_maps(model, _pixels([phantom]), classifier[finding.kind][None])[0, 0]
        panels.append(
            [
                Panel(phantom.pixels, f"{finding.kind}: truth", outline=finding.mask),
                Panel(phantom.pixels, "what speaks for it", heat, finding.mask, span),
            ]
        )
    rows = [panels[i : i + columns] for i in range(0, len(panels), columns)]
    return panel_grid([[panel for pair in row for panel in pair] for row in rows])


@torch.no_grad()
def masks(model: XLIPModel, phantoms: Sequence[Phantom], attmim: AttMIM, shares: Sequence[float], seed: int) -> bytes:
    """What AttMIM hides of each phantom as the share of picks that follow the response grows in training."""
    pixels, answer = _pixels(phantoms), _answer(model, phantoms)
    size = model.image_tower.patch_size
    gray = torch.full_like(patches(pixels, size), 0.5)
    columns = [_show(pixels, _hidden(answer, attmim, share, seed), gray, size) for share in shares]
    return panel_grid(
        [
            [
                Panel(phantom.pixels, phantom.findings[0].kind, outline=phantom.findings[0].mask),
                *(Panel(one, f"{share:.0%} by response") for one, share in zip(row, shares, strict=True)),
            ]
            for phantom, *row in zip(phantoms, *columns, strict=True)
        ]
    )


@torch.no_grad()
def reconstructions(model: XLIPModel, phantoms: Sequence[Phantom], attmim: AttMIM, seed: int) -> bytes:
    """Image, what AttMIM hides of it, and what the decoder makes of the rest with the right report and with the next
    phantom's.
    """
    pixels, processor = _pixels(phantoms), model.processor
    assert processor is not None
    inputs = processor.texts([phantom.report for phantom in phantoms])
    texts, images = model.texts(inputs), model.images(pixels)
    hidden, size = _hidden(_answer(model, phantoms), attmim, 1.0, seed), model.image_tower.patch_size
    pictures = [_show(pixels, hidden, torch.full_like(patches(pixels, size), 0.5), size)]
    for shift in (0, -1):
        text = DecoderText(*(one.roll(shift, 0) for one in (texts.tokens, inputs.mask, texts.embedding)))
        made = reconstruct(model, pixels, images.tokens, hidden, text, attmim.where)
        pictures.append(_show(pixels, hidden, from_target(made, pixels, size, attmim.target), size))
    titles = ("hidden", "with its own report", "with another report")
    return panel_grid(
        [
            [Panel(p.pixels, "held-out phantom"), *(Panel(one, title) for one, title in zip(row, titles, strict=True))]
            for p, *row in zip(phantoms, *pictures, strict=True)
        ]
    )


@torch.no_grad()
def recovered_words(model: XLIPModel, phantoms: Sequence[Phantom]) -> list[tuple[str, ...]]:
    """Rows of `WORDS_HEADER`: the entities that are hidden, and what the text decoder puts in their place."""
    processor = model.processor
    assert processor is not None
    shown = [tuple(one for one in phantom.entities if one.assertion != "absent") for phantom in phantoms]
    inputs = processor.texts([phantom.report for phantom in phantoms], shown)
    hidden = inputs.is_entity & inputs.mask
    tokens = model.texts(inputs.with_ids(inputs.ids.masked_fill(hidden, model.mask_token_id))).tokens
    images = model.images(_pixels(phantoms))
    context, seen = (image_context(model, images), images.embedding), torch.ones(len(phantoms)).bool()
    others = tuple(one.roll(-1, 0) for one in context)
    columns = [inputs.ids]
    for view, with_image in ((context, seen), (others, seen), (context, ~seen)):
        features = model.text_decoder(tokens, inputs.mask, *view, with_image)
        columns.append(model.text_decoder.logits(features, model.text_tower.word_embeddings).argmax(-1))
    return [
        (phantom.report, *(str(processor.tokenizer.decode(ids[row][hidden[row]])) for ids in columns))
        for row, phantom in enumerate(phantoms)
    ]


def _answer(model: XLIPModel, phantoms: Sequence[Phantom]) -> Tensor:
    classifier = text_classifier(model, load_prompts("xlip"), PHANTOM_KINDS)
    presence = torch.tensor([[phantom.labels[kind] for kind in PHANTOM_KINDS] for phantom in phantoms])
    found = kind_maps(model, model.images(_pixels(phantoms)), classifier[:, 0], classifier[:, 1])
    return kind_response(found, presence)


def _hidden(answer: Tensor, attmim: AttMIM, share: float, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return mask_patches(answer, ratio=attmim.ratio, mode=attmim.mode, attention_share=share, generator=generator)


def _show(pixels: Tensor, hidden: Tensor, made: Tensor, size: int) -> list[Any]:
    """The images with what was made in place of the hidden patches."""
    return [_assemble(row, size) for row in torch.where(hidden[..., None], made, patches(pixels, size))]


def _assemble(rows: Tensor, size: int) -> np.ndarray[Any, Any]:
    grid = round(len(rows) ** 0.5)
    image = rows.view(grid, grid, size, size).transpose(1, 2).reshape(grid * size, -1)
    return (image.clamp(0, 1) * 255).byte().numpy()


def _pixels(phantoms: Sequence[Phantom]) -> Tensor:
    return as_pixels(np.stack([phantom.pixels for phantom in phantoms]))
