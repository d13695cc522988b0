"""EntMLM: hide medical entities of the report, reconstruct them with the image's help (DESIGN 2.3)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from xlip.batches.batch import Batch
from xlip.batches.draws import row_draws, uniform
from xlip.batches.text_batch import TextBatch
from xlip.models.xlip import XLIPModel
from xlip.objectives.masking import mask_words
from xlip.objectives.objective import Context, Term, zero


@dataclass(frozen=True)
class EntMLM:
    """Masked language modelling of whole entities; lone reports are read with null image tokens."""

    weight: float = 1.0
    p_entity: float = 0.5
    """Probability that an entity is hidden; at least one of every report is."""
    p_other: float = 0.1
    """Probability that another word is hidden."""
    image_dropout: float = 0.1
    """Probability that a pair's image is replaced by null tokens."""
    name: str = "entmlm"

    def texts(self, model: XLIPModel, batch: Batch, generator: torch.Generator) -> dict[str, TextBatch]:
        """The reports once more, with words hidden: drawn anew at every step.

        Every hidden token becomes [MASK] (BERT's 80/10/10 rule is left out: the tower sees the whole report as well).
        """
        hidden = mask_words(
            batch.reports.group,
            batch.reports.is_entity,
            p_entity=self.p_entity,
            p_other=self.p_other,
            generator=row_draws(batch.report_seeds, self.name),
        )
        ids = batch.reports.ids.masked_fill(hidden, model.mask_token_id)
        return {"reports": batch.reports, "masked_reports": batch.reports.with_ids(ids)}

    def __call__(self, context: Context) -> Term:
        """Sum of the cross-entropy of hidden tokens; count = hidden tokens."""
        model, masked = context.model, context.texts["masked_reports"]
        truth = context.inputs["reports"].ids
        hidden = context.inputs["masked_reports"].ids != truth
        if not bool(hidden.any()):
            return zero(context)
        images = self._image_context(context)
        seen = torch.ones(images.shape[:2], dtype=torch.bool, device=images.device)
        features = model.text_decoder(masked.tokens, masked.mask, images, seen)
        return hidden_word_error(model, features[hidden], truth[hidden])

    def _image_context(self, context: Context) -> Tensor:
        """Tokens of the *unmasked* image for each report (R, N, D_image); null tokens where it has none."""
        pairs, reports = context.batch.pairs, len(context.batch.reports)
        tokens = context.images.tokens[:pairs]
        null = context.model.text_decoder.null_token.to(tokens.dtype)
        drawn = uniform(row_draws(context.batch.report_seeds[:pairs], f"{self.name} image"), pairs)
        kept = drawn.to(tokens.device) >= self.image_dropout
        seen = torch.where(kept[:, None, None], tokens, null)
        return torch.cat([seen, null.expand(reports - pairs, tokens.shape[1], -1)])


def hidden_word_error(model: XLIPModel, features: Tensor, truth: Tensor) -> Term:
    """Cross-entropy in fp32 of decoder features (M, D_text) against token ids (M,)."""
    logits = model.text_decoder.logits(features, model.text_tower.word_embeddings)
    total = F.cross_entropy(logits.float(), truth, reduction="sum")
    return Term(total, torch.tensor(float(len(truth)), device=total.device))
