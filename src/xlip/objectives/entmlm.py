"""EntMLM: hide medical entities of the report, reconstruct them with the image's help (docs/method.md, EntMLM)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from xlip.batches.batch import Batch
from xlip.batches.draws import row_draws, uniform
from xlip.batches.text_batch import TextBatch
from xlip.models.local import pooled_places
from xlip.models.xlip import Encodings, XLIPModel
from xlip.objectives.masking import mask_words
from xlip.objectives.objective import Context, Term, zero


@dataclass(frozen=True)
class EntMLM:
    """Masked language modelling of whole entities, in reports and in the descriptions of lone images.

    A few hundred pairs cannot teach words from pixels; labelled lone images can, by descriptions in which kind, side
    and zone are hidden ('findings: [MASK] [MASK] in the [MASK]'). Lone reports are read without an image.
    """

    weight: float = 1.0
    p_entity: float = 0.5
    """Probability that an entity is hidden; at least one of every report is."""
    p_other: float = 0.1
    """Probability that another word is hidden."""
    image_dropout: float = 0.1
    """Probability that a text's image is left out."""
    descriptions: bool = True
    """Whether the descriptions of lone images are filled in too."""
    joint: ClassVar[bool] = False
    local: ClassVar[bool] = True
    needs: ClassVar[str] = "reports with medical entities, or labelled lone images"
    name: str = "entmlm"

    def texts(self, model: XLIPModel, batch: Batch, generator: torch.Generator) -> dict[str, TextBatch]:
        """Reports and descriptions once more, with words hidden: drawn anew at every step.

        Every hidden token becomes [MASK] (BERT's 80/10/10 rule is left out: the tower sees the whole report as well).
        """
        texts = {"reports": batch.reports}
        if self.descriptions:
            texts["descriptions"] = batch.descriptions
        masked = {}
        for name, text in texts.items():
            hidden = self._hidden(name, text, batch).to(text.ids.device, non_blocking=True)
            masked[f"masked_{name}"] = text.with_ids(text.ids.masked_fill(hidden, model.mask_token_id))
        return texts | masked

    def _hidden(self, name: str, text: TextBatch, batch: Batch) -> Tensor:
        """(R, T), on the CPU: the hidden tokens, the same whenever it is asked in a step."""
        draws = row_draws(_seeds(name, batch), self.name)
        return mask_words(text.group, text.is_entity, p_entity=self.p_entity, p_other=self.p_other, generator=draws)

    def __call__(self, context: Context) -> Term:
        """Sum of the cross-entropy of hidden tokens; count = hidden tokens."""
        terms = [self._of("reports", context)]
        if self.descriptions:
            terms.append(self._of("descriptions", context))
        return Term(torch.stack([t.total for t in terms]).sum(), torch.stack([t.count for t in terms]).sum())

    def _of(self, name: str, context: Context) -> Term:
        model, masked = context.model, context.texts[f"masked_{name}"]
        truth = context.inputs[name].ids
        rows, columns = self._hidden(name, context.inputs[name], context.batch).nonzero(as_tuple=True)
        if not len(rows):
            return zero(context)
        features = model.text_decoder(masked.tokens, masked.mask, *self._images(name, context))
        rows, columns = (one.to(truth.device, non_blocking=True) for one in (rows, columns))
        return hidden_word_error(model, features[rows, columns], truth[rows, columns])

    def _images(self, name: str, context: Context) -> tuple[Tensor, Tensor, Tensor]:
        """The decoder's view of the *unmasked* image of each text (R, N, width), its place in the joint space (R, E),
        without gradient, and which texts have one (R,).
        """
        pairs, texts = context.batch.pairs, len(context.inputs[name])
        rows = slice(0, pairs) if name == "reports" else slice(pairs, None)
        images, embedding = image_context(context.model, context.images[rows]), context.images[rows].embedding.detach()
        draws = row_draws(_seeds(name, context.batch)[: len(images)], f"{self.name} image")
        kept = uniform(draws, len(images)).to(images.device) >= self.image_dropout
        without = texts - len(images)
        padded = F.pad(images, (0, 0, 0, 0, 0, without)), F.pad(embedding, (0, 0, 0, without))
        return *padded, F.pad(kept, (0, without))


def _seeds(name: str, batch: Batch) -> Tensor:
    """Of each text of a name."""
    return batch.report_seeds if name == "reports" else batch.image_seeds[batch.pairs :]


def image_context(model: XLIPModel, images: Encodings) -> Tensor:
    """What the text decoder sees of images, (B, N, width): their tokens and the local features of each patch."""
    local = None if images.places is None else pooled_places(images.places, model.image_tower.grid)
    made: Tensor = model.text_decoder.image_context(images.tokens, local)
    return made


def hidden_word_error(model: XLIPModel, features: Tensor, truth: Tensor) -> Term:
    """Cross-entropy in fp32 of decoder features (M, D_text) against token ids (M,)."""
    logits = model.text_decoder.logits(features, model.text_tower.word_embeddings)
    total = F.cross_entropy(logits.float(), truth, reduction="sum")
    return Term(total, torch.tensor(float(len(truth)), device=total.device))
