"""AttMIM: hide the patches that answer most to the text, reconstruct them with the text's help (DESIGN 2.2)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from xlip.batches.batch import Batch
from xlip.batches.draws import row_draws
from xlip.batches.text_batch import TextBatch
from xlip.errors import XLIPError
from xlip.models.xlip import XLIPModel
from xlip.objectives.kinds import kind_logits
from xlip.objectives.masking import MODES, mask_patches, ramp
from xlip.objectives.objective import Context, Term, zero
from xlip.objectives.response import RESPONSES, response, token_weights
from xlip.study.labels import UncertainPolicy

FLAT = 1e-4
"""Variance (of pixels in [0, 1]) below which a patch is a flat border that normalisation would blow up."""


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
    response: str = "cosine"
    """cosine or attention; see `response`."""
    entity_weight: float = 3.0
    """How much more an entity's token counts in the response than another token."""
    attention_share: float = 1.0
    """Share of the mode's picks that follow the response once the ramp is over."""
    ramp: float = 0.3
    """Share of the training after which the response chooses fully; it is noise at the start."""
    uncertain: str = "ignore"
    """What an uncertain label of a lone image counts as, see `UncertainPolicy.parse`; where it is ignored, the model's
    score serves."""
    name: str = "attmim"

    def __post_init__(self) -> None:
        known = {"mode": MODES, "where": ("feature", "reencode"), "response": RESPONSES}
        for name, values in known.items():
            if getattr(self, name) not in values:
                raise XLIPError(f"attmim.{name}: expected one of {', '.join(values)}; got {getattr(self, name)!r}")
        if not 0 < self.ratio < 1:
            raise XLIPError(f"attmim.ratio: expected a share between 0 and 1, got {self.ratio}")
        UncertainPolicy.parse(self.uncertain, "attmim.uncertain")

    def texts(self, model: XLIPModel, batch: Batch, generator: torch.Generator) -> dict[str, TextBatch]:
        """Reports for the pairs, disease-kind prompts for the lone images."""
        return {"reports": batch.reports, "prompts": batch.prompts}

    def __call__(self, context: Context) -> Term:
        """Sum over hidden, non-flat patches of the mean squared error of their normalised pixels; count = patches."""
        batch, model = context.batch, context.model
        if len(batch.pixels) == 0:
            return zero(context)
        words, weights = query_texts(context, self.entity_weight, self.uncertain)
        answer = response(model, context.images.tokens, words, weights, by=self.response)
        share = self.attention_share * ramp(context.progress, self.ramp)
        hidden = mask_patches(
            answer,
            ratio=self.ratio,
            mode=self.mode,
            attention_share=share,
            generator=row_draws(batch.image_seeds, self.name),
        )
        tokens = context.images.tokens
        if self.where == "reencode":
            tokens = model.image_tower.visible(batch.pixels, hidden).tokens
        predicted = model.image_decoder(tokens, hidden, words, weights > 0)
        return patch_error(predicted, batch.pixels, hidden, model.image_tower.patch_size)


def query_texts(context: Context, entity_weight: float, uncertain: str = "ignore") -> tuple[Tensor, Tensor]:
    """The text tokens that query each image, (B, C, D_text), and their weights in the response, (B, C); 0 = padding.

    A pair's are the tokens of its report. A lone image has one token per kind: the kind's positive or negative prompt,
    as its label says; where the label is not known, the two mixed by the model's own current score. A kind weighs in
    the response as much as it is present.
    """
    batch, pairs = context.batch, context.batch.pairs
    reports, inputs = context.texts["reports"][:pairs], context.inputs["reports"][:pairs]
    report_weights = token_weights(inputs.mask, inputs.is_entity, entity_weight)
    kinds, kind_weights = _kind_queries(context, uncertain)
    length = max(reports.tokens.shape[1], kinds.shape[1])
    words = [F.pad(t, (0, 0, 0, length - t.shape[1])) for t in (reports.tokens, kinds.to(reports.tokens.dtype))]
    weights = [F.pad(w, (0, length - w.shape[1])) for w in (report_weights, kind_weights)]
    assert len(words[0]) + len(words[1]) == len(batch.pixels)
    return torch.cat(words), torch.cat(weights)


def patch_error(predicted: Tensor, pixels: Tensor, hidden: Tensor, patch_size: int) -> Term:
    """Squared error against per-patch-normalised pixels (He et al. 2022, MAE), over hidden patches that are not flat.

    Args:
        predicted: (B, N, patch_size^2).
        pixels: (B, 1, H, W) in [0, 1].
        hidden: (B, N), True = hidden.
        patch_size: side of a patch, pixels.
    """
    target = patches(pixels.float(), patch_size)
    variance = target.var(-1, unbiased=False, keepdim=True)
    normalised = (target - target.mean(-1, keepdim=True)) / (variance + 1e-6).sqrt()
    counted = (hidden & (variance[..., 0] > FLAT)).float()
    error = (predicted.float() - normalised).pow(2).mean(-1)
    return Term((error * counted).sum(), counted.sum())


def patches(pixels: Tensor, size: int) -> Tensor:
    """(B, 1, H, W) -> (B, N, size^2), patches row by row."""
    rows, columns = pixels.shape[-2] // size, pixels.shape[-1] // size
    split = pixels.view(-1, rows, size, columns, size).transpose(2, 3)
    return split.reshape(len(pixels), rows * columns, size * size)


def _kind_queries(context: Context, uncertain: str) -> tuple[Tensor, Tensor]:
    """One token per kind for each lone image (L, K, D_text), and its weight (L, K)."""
    batch, prompts = context.batch, context.texts["prompts"]
    present = _presence(context, uncertain)
    mask = prompts.mask[..., None].to(prompts.tokens.dtype)
    pooled = (prompts.tokens * mask).sum(1) / mask.sum(1).clamp(min=1)
    positive, negative = pooled.chunk(2)
    share = present[..., None].to(pooled.dtype)
    assert len(present) == len(batch.pixels) - batch.pairs
    return share * positive + (1 - share) * negative, present


def _presence(context: Context, uncertain: str) -> Tensor:
    """(L, K) in [0, 1]: the target of each kind where it is 0 or 1, else the model's current score, detached."""
    lone = slice(context.batch.pairs, None)
    with torch.no_grad():
        score = kind_logits(context.images[lone], context.texts["prompts"], context.model.logit_scale_exp()).sigmoid()
    targets = context.batch.targets(context.batch.image_labels[lone], uncertain)
    # A small floor: an image whose kinds are all absent still has a query.
    return torch.where(targets >= 0, targets.float(), score).clamp(min=1e-3)
