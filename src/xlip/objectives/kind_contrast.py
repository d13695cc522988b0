"""Contrast between the kinds of an image: which of the prompts belong to it? (docs/method.md, prompts)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch import distributed as dist
from torch.nn import functional as F

from xlip.batches.batch import Batch
from xlip.batches.text_batch import TextBatch
from xlip.models.xlip import XLIPModel
from xlip.objectives.denials import NONE, denial_texts, rivals
from xlip.objectives.objective import Context, Term, distributed, zero
from xlip.objectives.ranks import gather
from xlip.study.labels import ABSENT, PRESENT, UncertainPolicy


@dataclass(frozen=True)
class KindContrast:
    """InfoNCE between images and the positive prompts of their kinds, both ways.

    `ImageKind` compares a kind's positive prompt with its negative one. That alone lets all kinds share one direction,
    normal to abnormal, for hundreds of steps (`docs/log.md`): here the prompts of present kinds compete with those of
    absent ones, so what they share cancels. The paper does not say how prompts enter the loss.
    """

    weight: float = 1.0
    uncertain: str = "ignore"
    """What an uncertain label counts as, see `UncertainPolicy.parse`."""
    denials: bool = False
    """Whether the prompts of present kinds also compete with the denials that the image contradicts."""
    joint: ClassVar[bool] = True
    local: ClassVar[bool] = False
    needs: ClassVar[str] = "images with labels, or pairs whose reports name kinds"
    name: str = "kind_contrast"

    def __post_init__(self) -> None:
        UncertainPolicy.parse(self.uncertain, f"{self.name}.uncertain")

    def texts(self, model: XLIPModel, batch: Batch, generator: torch.Generator) -> dict[str, TextBatch]:
        """The prompts, and the denials."""
        return {"prompts": batch.prompts} | (denial_texts(batch) if self.denials else {})

    def __call__(self, context: Context) -> Term:
        """Sum over images with a present kind, and over prompts of kinds present in the batch; count = both.

        The images are those of all ranks; a rank takes its own images, and every n-th prompt.
        """
        targets = context.batch.targets(context.batch.image_labels, self.uncertain)
        if not distributed() and not len(targets):
            return zero(context)
        positive = context.texts["prompts"].embedding.chunk(2)[0]
        scores = context.model.logit_scale_exp() * context.images.embedding @ positive.T
        against = rivals(context, context.images.embedding, targets) if self.denials else None
        by_image = present_against_absent(scores, targets, against)
        share = slice(dist.get_rank(), None, dist.get_world_size()) if distributed() else slice(None)
        by_prompt = present_against_absent(gather(scores).T[share], gather(targets).T[share])
        return Term(by_image.total + by_prompt.total, by_image.count + by_prompt.count)


def present_against_absent(scores: Tensor, targets: Tensor, against: Tensor | None = None) -> Term:
    """Sum over rows of -1/|P| sum_{p in P} log(e^s_p / (e^s_p + sum_{n in N} e^s_n)); count = rows with a P.

    Args:
        scores: (M, L).
        targets: (M, L): 1 = in P, 0 = in N, anything else left out.
        against: (M,) log of the summed exponentials of further negatives of each row.
    """
    present = (targets == PRESENT).float()
    # A row without an absent item has nothing to compete with.
    absent = scores.masked_fill(targets != ABSENT, NONE).logsumexp(1, keepdim=True)
    if against is not None:
        absent = torch.logaddexp(absent, against[:, None])
    loss = F.softplus(absent - scores) * present
    return Term((loss.sum(1) / present.sum(1).clamp(min=1)).sum(), (present.sum(1) > 0).sum().float())
