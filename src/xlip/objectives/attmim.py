"""AttMIM: hide the patches that answer most to the text, reconstruct them with the text's help.

The rule: docs/method.md, AttMIM.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from xlip.batches.batch import Batch
from xlip.batches.draws import row_draws, uniform
from xlip.batches.text_batch import TextBatch
from xlip.errors import XLIPError
from xlip.models.xlip import XLIPModel
from xlip.objectives.masking import MODES, mask_patches, ramp
from xlip.objectives.objective import Context, Term, zero
from xlip.objectives.pixel_targets import TARGETS, pixel_target
from xlip.objectives.queries import presence, query_texts
from xlip.objectives.response import RESPONSES, kind_maps, kind_response, response
from xlip.study.labels import UncertainPolicy


@dataclass(frozen=True)
class AttMIM:
    """Masked image modelling where the text chooses what is hidden."""

    weight: float = 1.0
    ratio: float = 0.5
    """Share of patches hidden; the paper's figure shows about half."""
    mode: str = "blend"
    """high, blend, hint, low or random; see `mask_patches`."""
    where: str = "feature"
    """`feature`: encoder features of hidden patches are replaced; `reencode`: a second pass over visible patches."""
    response: str = "local"
    """local: the maps of the kinds that the text or the labels name, see `kind_response`; cosine or attention of the
    text's tokens, see `response`."""
    target: str = "image"
    """image or patch: by what the pixels are normalised that are predicted, see `pixel_target`."""
    text_dropout: float = 0.15
    """Share of images whose text is left out, so that a reconstruction without one is no surprise."""
    share: float = 1.0
    """Share of a step's images that are masked; below 1, a second pass (`reencode`) costs less."""
    uncertain: str = "ignore"
    """What an uncertain label counts as, see `UncertainPolicy.parse`; ignored, the model's own score stands in."""
    entity_weight: float = 3.0
    """How much more an entity's token counts in the response than another token."""
    attention_share: float = 1.0
    """Share of the mode's picks that follow the response once the ramp is over."""
    ramp: float = 0.3
    """Share of the training after which the response chooses fully; it is noise at the start."""
    name: str = "attmim"

    def __post_init__(self) -> None:
        known = {
            "mode": MODES,
            "where": ("feature", "reencode"),
            "response": RESPONSES,
            "target": TARGETS,
        }
        for name, values in known.items():
            if getattr(self, name) not in values:
                raise XLIPError(f"attmim.{name}: expected one of {', '.join(values)}; got {getattr(self, name)!r}")
        UncertainPolicy.parse(self.uncertain, "attmim.uncertain")
        if not 0 < self.ratio < 1:
            raise XLIPError(f"attmim.ratio: expected a share between 0 and 1, got {self.ratio}")
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
        words, weights = query_texts(context, self.entity_weight, self.uncertain)
        answer = self.answer(context, words, weights)
        share = self.attention_share * ramp(context.progress, self.ramp)
        hidden = mask_patches(
            answer,
            ratio=self.ratio,
            mode=self.mode,
            attention_share=share,
            generator=row_draws(batch.image_seeds, self.name),
        )
        rows = self._rows(context)
        pixels, hidden, words, read = batch.pixels[rows], hidden[rows], words[rows], weights[rows] > 0
        drawn = uniform(row_draws(batch.image_seeds, f"{self.name} text"), len(batch.pixels), 1)
        kept = drawn.to(read.device)[rows] >= self.text_dropout
        predicted = reconstruct(model, pixels, context.images.tokens[rows], hidden, words, read & kept, self.where)
        return patch_error(predicted, pixels, hidden, model.image_tower.patch_size, self.target)

    def answer(self, context: Context, words: Tensor, weights: Tensor) -> Tensor:
        """(B, N): how strongly each patch answers."""
        model = context.model
        if self.response != "local":
            return response(model, context.images.tokens, words, weights, by=self.response)
        positive, negative = context.texts["prompts"].embedding.chunk(2)
        maps = kind_maps(model, context.images, positive, negative)
        return kind_response(maps, presence(context, self.uncertain))

    def _rows(self, context: Context) -> Tensor:
        count = len(context.batch.pixels)
        if self.share == 1:
            return torch.arange(count, device=context.batch.pixels.device)
        drawn = uniform(row_draws(context.batch.image_seeds, f"{self.name} rows"), count)
        chosen = drawn.topk(max(1, round(self.share * count))).indices
        return chosen.sort().values.to(context.batch.pixels.device)


def reconstruct(
    model: XLIPModel, pixels: Tensor, tokens: Tensor, hidden: Tensor, words: Tensor, read: Tensor, where: str
) -> Tensor:
    """Pixels of every patch (B, N, patch_pixels) as the image decoder fills them in.

    Args:
        model: the model.
        pixels: (B, 1, H, W) in [0, 1].
        tokens: patch tokens of the whole images (B, N, D_image); used where `where` is `feature`.
        hidden: (B, N), True = hidden.
        words: text tokens (B, C, D_text).
        read: (B, C), True = real token; a row without one is an image without a text.
        where: `feature` or `reencode`, see `AttMIM`.
    """
    if where == "reencode":
        tokens = model.image_tower.visible(pixels, hidden).tokens
    filled: Tensor = model.image_decoder(tokens, hidden, words, read)
    return filled


def patch_error(predicted: Tensor, pixels: Tensor, hidden: Tensor, patch_size: int, target: str) -> Term:
    """Squared error against normalised pixels, over hidden patches that are not flat.

    Args:
        predicted: (B, N, patch_size^2).
        pixels: (B, 1, H, W) in [0, 1].
        hidden: (B, N), True = hidden.
        patch_size: side of a patch, pixels.
        target: see `pixel_target`.
    """
    truth, flat = pixel_target(pixels, patch_size, target)
    counted = (hidden & ~flat).float()
    error = (predicted.float() - truth).pow(2).mean(-1)
    return Term((error * counted).sum(), counted.sum())
