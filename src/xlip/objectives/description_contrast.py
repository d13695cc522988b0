"""Lone images against their descriptions: what pairs teach, without a report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from xlip.batches.batch import Batch
from xlip.batches.text_batch import TextBatch
from xlip.models.xlip import XLIPModel
from xlip.objectives.contrastive import both_ways
from xlip.objectives.objective import Context, Term, distributed, zero


@dataclass(frozen=True)
class DescriptionContrast:
    """Symmetric InfoNCE between labelled lone images and texts made of their labels, boxes and masks.

    Labelled images read their prompts as a text (docs/method.md), here with sides: kinds alone cannot
    teach left from right. Images whose labels state the same kinds in the same places are positives of each other.
    """

    weight: float = 1.0
    chunk: int = 1024
    """Rows of the similarity matrix held at a time."""
    joint: ClassVar[bool] = True
    local: ClassVar[bool] = False
    needs: ClassVar[str] = "at least two labelled lone images a step (data.mix.images)"
    name: str = "description_contrast"

    def texts(self, model: XLIPModel, batch: Batch, generator: torch.Generator) -> dict[str, TextBatch]:
        """The descriptions."""
        return {"descriptions": batch.descriptions}

    def __call__(self, context: Context) -> Term:
        """Sum over images whose description states a kind of the mean of both directions; count = them."""
        batch = context.batch
        stated = batch.meaning.nonzero()[:, 0]  # on the CPU
        if not len(stated) and not distributed():
            return zero(context)
        meaning, rows = batch.meaning[stated], stated.to(batch.pixels.device, non_blocking=True)
        image = context.images.embedding[batch.pairs :][rows]
        text = context.texts["descriptions"].embedding[rows]
        keys = torch.stack([meaning, torch.zeros_like(meaning)], 1).to(rows.device, non_blocking=True)
        return both_ways(image, text, keys, context.model.logit_scale_exp(), self.chunk)
