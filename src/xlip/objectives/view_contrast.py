"""Contrast of two views of one image: what lone images without labels teach (Chen et al. 2020, arXiv:2002.05709)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch import distributed as dist

from xlip.batches.augmentation import Augment
from xlip.batches.batch import Batch
from xlip.batches.draws import row_draws
from xlip.batches.text_batch import TextBatch
from xlip.models.xlip import XLIPModel
from xlip.objectives.contrastive import both_ways
from xlip.objectives.objective import Context, Term, distributed, zero

SECOND_VIEW = Augment(min_scale=0.6, rotation=15, stretch=0.15, contrast=0.5, brightness=0.3, gamma=0.5, noise=0.05)
"""On top of what training does to every image: together a crop of 0.36 to 1, as strong as views of their own may be,
for no text has to stay true of them."""


@dataclass(frozen=True)
class ViewContrast:
    """Symmetric InfoNCE between the images as they are trained on and a further view of each, in the joint space.

    Not in the paper. As in SLIP (Mu et al. 2022, arXiv:2112.12750) it may stand beside the other terms, at the price of
    one more pass over the images; a run with this term alone makes an image tower for `model.image_checkpoint`. Two
    departures from SimCLR: negatives are the other view's only (as in MoCo v3), and there is no projector of its own.
    """

    weight: float = 1.0
    temperature: float = 0.2
    """What similarities are divided by; smaller is sharper."""
    chunk: int = 1024
    """Rows of the similarity matrix held at a time."""
    joint: ClassVar[bool] = True
    local: ClassVar[bool] = False
    needs: ClassVar[str] = "at least two lone images a step (data.mix.images)"
    name: str = "view_contrast"

    def texts(self, model: XLIPModel, batch: Batch, generator: torch.Generator) -> dict[str, TextBatch]:
        """None."""
        return {}

    def views(self, batch: Batch) -> Tensor:
        """The further view of each image."""
        return SECOND_VIEW(batch.pixels, row_draws(batch.image_seeds, self.name))

    def __call__(self, context: Context) -> Term:
        """Sum over this rank's images of the mean of both directions; count = its images."""
        pixels = context.batch.pixels
        if len(pixels) == 0 and not distributed():
            return zero(context)
        first, second = context.images.embedding, context.views[self.name].embedding
        scale = torch.tensor(1 / self.temperature, device=first.device)
        return both_ways(first, second, _keys(len(pixels), first.device), scale, self.chunk)


def _keys(rows: int, device: torch.device) -> Tensor:
    """(rows, 1): a number of its own for every image of every rank, and no kinds (see `positive_keys`)."""
    rank = dist.get_rank() if distributed() else 0
    return torch.arange(rows, device=device)[:, None] + (rank << 32)
