"""AttMIM: hide the patches that answer most to the text, reconstruct them with the text's help.

The rule: docs/method.md, AttMIM.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from xlip.batches.batch import Batch
from xlip.batches.draws import row_draws, seed_of, uniform
from xlip.batches.text_batch import TextBatch
from xlip.errors import XLIPError
from xlip.models.xlip import XLIPModel
from xlip.objectives.masking import MODES, mask_patches, ramp, told_apart
from xlip.objectives.objective import Context, Term, zero
from xlip.objectives.pixel_targets import TARGETS, pixel_target
from xlip.objectives.queries import Query, presence, query_texts
from xlip.objectives.response import RESPONSES, kind_maps, kind_response, response
from xlip.study.labels import UncertainPolicy

TRUTH = "truth"
"""The response that is none: where the findings really are."""


@dataclass(frozen=True)
class AttMIM:
    """Masked image modelling where the text chooses what is hidden."""

    weight: float = 1.0
    ratio: float = 0.5
    """Share of patches hidden, at most; the paper's figure shows about half."""
    least_ratio: float = 0.25
    """A share between this and `ratio` is drawn for every step, so that the decoder meets small and large masks."""
    mode: str = "high"
    """high, blend, hint, low or random; see `mask_patches`."""
    where: str = "reencode"
    """`feature`: encoder features of hidden patches are replaced; `reencode`: a second pass over visible patches."""
    response: str = "local"
    """local: the maps of the kinds that the text or the labels name, see `kind_response`; cosine or attention of the
    text's tokens, see `response`; truth: the masks or boxes of the findings themselves, where a set has them (random
    patches elsewhere): no method for use, but the most that guiding can give."""
    target: str = "image"
    """image or patch: by what the pixels are normalised that are predicted, see `pixel_target`."""
    text_dropout: float = 0.15
    """Share of images whose text is left out, so that the decoder also learns to reconstruct without one."""
    share: float = 0.5
    """Chance of an image to be masked in a step: a second pass (`reencode`) over fewer of them costs less."""
    focus: float = 0.5
    """Share of an image's error that is weighted by the response, the rest counts all hidden patches alike: a finding
    fills few of them, and the text knows little of the others."""
    uncertain: str = "ignore"
    """What an uncertain label counts as, see `UncertainPolicy.parse`; ignored, the model's own score stands in."""
    entity_weight: float = 3.0
    """How much more an entity's token counts in the response than another token."""
    attention_share: float = 1.0
    """Share of the mode's picks that follow the response once the ramp is over."""
    ramp: float = 0.3
    """Share of the training after which the response chooses fully; it is noise at the start."""
    joint: ClassVar[bool] = False
    local: ClassVar[bool] = True
    needs: ClassVar[str] = "images"
    name: str = "attmim"

    def __post_init__(self) -> None:
        known = {
            "mode": MODES,
            "where": ("feature", "reencode"),
            "response": (*RESPONSES, TRUTH),
            "target": TARGETS,
        }
        for name, values in known.items():
            if getattr(self, name) not in values:
                raise XLIPError(f"attmim.{name}: expected one of {', '.join(values)}; got {getattr(self, name)!r}")
        UncertainPolicy.parse(self.uncertain, "attmim.uncertain")
        if not 0 < self.ratio < 1:
            raise XLIPError(f"attmim.ratio: expected a share between 0 and 1, got {self.ratio}")
        if not 0 < self.least_ratio <= self.ratio:
            raise XLIPError(
                f"attmim.least_ratio: expected above 0, up to attmim.ratio ({self.ratio}), got {self.least_ratio}"
            )
        if not 0 < self.share <= 1:
            raise XLIPError(f"attmim.share: expected a share above 0, up to 1, got {self.share}")
        if not 0 <= self.text_dropout < 1:
            raise XLIPError(f"attmim.text_dropout: expected a share from 0 to below 1, got {self.text_dropout}")

    def texts(self, model: XLIPModel, batch: Batch, generator: torch.Generator) -> dict[str, TextBatch]:
        """Reports for the pairs, descriptions and disease-kind prompts for the lone images."""
        return {"reports": batch.reports, "descriptions": batch.descriptions, "prompts": batch.prompts}

    def __call__(self, context: Context) -> Term:
        """Sum over hidden, non-flat patches of the mean squared error of their normalised pixels; count = patches."""
        batch, model = context.batch, context.model
        if len(batch.pixels) == 0:
            return zero(context)
        chosen = self._rows(batch.image_seeds)
        if self.share < 1 and not len(chosen):
            return zero(context)
        rows, seeds = chosen.to(batch.pixels.device, non_blocking=True), batch.image_seeds[chosen]
        query = query_texts(context, self.entity_weight, self.uncertain)
        answer = self.answer(context, rows, query)
        share = self.attention_share * ramp(context.progress, self.ramp)
        ratio = self._ratio(context.generator)
        ranked = told_apart(answer, row_draws(seeds, f"{self.name} ties"))
        draws = row_draws(seeds, self.name)
        hidden = mask_patches(ranked, ratio=ratio, mode=self.mode, attention_share=share, generator=draws)
        pixels = batch.pixels[rows]
        drawn = uniform(row_draws(seeds, f"{self.name} text"), len(rows), 1)
        kept = drawn.to(pixels.device) >= self.text_dropout
        text = DecoderText(query.words[rows], (query.weights[rows] > 0) & kept, query.embedding[rows])
        predicted = reconstruct(model, pixels, context.images.tokens[rows], hidden, text, self.where, ratio)
        weights = focused(answer, hidden, self.focus)
        return patch_error(predicted, pixels, hidden, model.image_tower.patch_size, self.target, weights)

    def answer(self, context: Context, rows: Tensor, query: Query) -> Tensor:
        """(rows, N): how strongly each patch of these images answers."""
        model, images = context.model, context.images[rows]
        if self.response == TRUTH:
            return true_response(context.batch.regions[rows], model.image_tower.grid)
        if self.response != "local":
            return response(model, images, query.words[rows], query.weights[rows], by=self.response)
        positive, negative = context.texts["prompts"].embedding.chunk(2)
        maps = kind_maps(model, images, positive, negative)
        return kind_response(maps, presence(context, self.uncertain)[rows])

    def _ratio(self, generator: torch.Generator) -> float:
        """The same for all images of a step, on every rank: a second pass wants rows of one length.

        By the seed of the step's generator, which is that of the run and the step: a run may be made longer.
        """
        seed = seed_of(self.name, "ratio", generator.initial_seed())
        return random.Random(seed).uniform(self.least_ratio, self.ratio)

    def _rows(self, seeds: Tensor) -> Tensor:
        """Images that are masked, on the CPU as their seeds are."""
        if self.share == 1:
            return torch.arange(len(seeds))
        # Each row by its own draw: whatever rank or part of a step it is in, it is masked or not.
        return (uniform(row_draws(seeds, f"{self.name} rows"), len(seeds)) < self.share).nonzero()[:, 0]


def true_response(regions: Tensor, grid: int) -> Tensor:
    """(B, N): the share of each patch that lies in a finding, of regions (B, 1, S, S) in [0, 1].

    Raises:
        XLIPError: the batch was made without regions.
    """
    if regions.dim() != 4:
        raise XLIPError("attmim.response truth: this batch has no regions; make it by a BatchSampler with regions=True")
    return F.adaptive_avg_pool2d(regions.float(), grid).flatten(1)


class DecoderText(NamedTuple):
    """The texts that help to fill in images."""

    words: Tensor
    """Text tokens (B, C, D_text)."""
    read: Tensor
    """(B, C), True = real token; a row without one is an image without a text."""
    embedding: Tensor
    """(B, E), the texts in the joint space."""


def reconstruct(
    model: XLIPModel,
    pixels: Tensor,
    tokens: Tensor,
    hidden: Tensor,
    text: DecoderText,
    where: str,
    ratio: float | None = None,
) -> Tensor:
    """Pixels of every patch (B, N, patch_pixels) as the image decoder fills them in.

    Args:
        model: the model.
        pixels: (B, 1, H, W) in [0, 1].
        tokens: patch tokens of the whole images (B, N, D_image); used where `where` is `feature`.
        hidden: (B, N), True = hidden.
        text: of each image.
        where: `feature` or `reencode`, see `AttMIM`.
        ratio: share of the patches that `hidden` hides, where it is known.
    """
    if where == "reencode":
        patches = hidden.shape[1]
        visible = None if ratio is None else patches - round(ratio * patches)
        tokens = model.image_tower.visible(pixels, hidden, visible).tokens
    filled: Tensor = model.image_decoder(tokens, hidden, *text)
    return filled


def focused(answer: Tensor, hidden: Tensor, focus: float) -> Tensor:
    """Weight of each patch in the error, (B, N), mean 1 over an image's hidden patches.

    Args:
        answer: (B, N) response, non-negative.
        hidden: (B, N), True = hidden.
        focus: share of the weight that follows the response; 0 weighs all patches alike.
    """
    answer = answer.clamp(min=0) * hidden
    count = hidden.sum(1, keepdim=True)
    even = torch.ones_like(answer)
    followed = torch.where(answer.sum(1, keepdim=True) > 0, answer, even * hidden)
    return (1 - focus) * even + focus * followed * count / followed.sum(1, keepdim=True).clamp(min=1e-12)


def patch_error(
    predicted: Tensor, pixels: Tensor, hidden: Tensor, patch_size: int, target: str, weights: Tensor | None = None
) -> Term:
    """Squared error against normalised pixels, over hidden patches that are not flat.

    Args:
        predicted: (B, N, patch_size^2).
        pixels: (B, 1, H, W) in [0, 1].
        hidden: (B, N), True = hidden.
        patch_size: side of a patch, pixels.
        target: see `pixel_target`.
        weights: (B, N) of each patch's error; all alike without.
    """
    truth, flat = pixel_target(pixels, patch_size, target)
    counted = (hidden & ~flat).float()
    error = (predicted.float() - truth).pow(2).mean(-1)
    if weights is not None:
        error = error * weights
    return Term((error * counted).sum(), counted.sum())
