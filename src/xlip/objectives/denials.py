"""Contrast of denials: 'no pleural effusion' belongs to the images without one, and to no image with one."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch import distributed as dist

from xlip.batches.batch import Batch
from xlip.batches.text_batch import TextBatch
from xlip.models.xlip import XLIPModel
from xlip.objectives.contrastive import gather
from xlip.objectives.kind_contrast import present_against_absent
from xlip.objectives.objective import Context, Term, distributed, zero
from xlip.study.labels import ABSENT, PRESENT, UNKNOWN, UncertainPolicy


@dataclass(frozen=True)
class DenialContrast:
    """InfoNCE between images and texts that deny kinds, both ways: each denial is judged alone, across the images.

    `ImageKind` trains the *difference* of a kind's two prompts and `KindContrast` its positive prompt, so nothing holds
    the denial to the images that it is true of: alone, 'no X' looks most like an X. Here images of which a denial is
    true compete with those that contradict it, and for an image the true denials with the false ones. The texts are a
    denial of every kind by its name, drawn from the prompts, and a sentence of every report of the step in which the
    tagger found nothing but denials. VECL (MICCAI 2025) takes contradicting sentences as negatives too; the form of the
    loss is ours.
    """

    weight: float = 1.0
    uncertain: str = "ignore"
    """What an uncertain label counts as, see `UncertainPolicy.parse`."""
    name: str = "denial_contrast"

    def __post_init__(self) -> None:
        UncertainPolicy.parse(self.uncertain, f"{self.name}.uncertain")

    def texts(self, model: XLIPModel, batch: Batch, generator: torch.Generator) -> dict[str, TextBatch]:
        """The denials."""
        return {"denials": batch.denials}

    def __call__(self, context: Context) -> Term:
        """Sum over images with a true denial, and over denials that are true of an image of the batch; count = both.

        Images and reports are those of all ranks; a rank takes its own images and sentences, and every n-th prompt.
        """
        batch = context.batch
        targets = batch.targets(batch.image_labels, self.uncertain)
        if not distributed() and not bool((targets >= 0).any()):
            return zero(context)
        scale, own = context.model.logit_scale_exp(), _own_rows(batch)
        texts, denied = context.texts["denials"].embedding[own], batch.denied[own]
        all_texts, all_denied = gather(texts), gather(denied)
        by_image = present_against_absent(
            scale * context.images.embedding @ all_texts.T, truth_of_denials(all_denied, targets)
        )
        all_targets = gather(targets)
        by_text = present_against_absent(
            scale * texts @ gather(context.images.embedding).T, truth_of_denials(denied, all_targets).T
        )
        return Term(by_image.total + by_text.total, by_image.count + by_text.count)


def truth_of_denials(denied: Tensor, targets: Tensor) -> Tensor:
    """Whether each denial is true of each image.

    Args:
        denied: (M, K) bool.
        targets: (B, K) of 1, 0 and -1 = unknown.

    Returns:
        (B, M) int8: 1 where every denied kind is absent, 0 where one of them is present, -1 where nobody knows.
    """
    columns = denied.T.float()
    contradicted = (targets == PRESENT).float() @ columns > 0
    holds = (targets != ABSENT).float() @ columns == 0
    unknown = torch.full_like(contradicted, int(UNKNOWN), dtype=torch.int8)
    return unknown.masked_fill(holds, int(PRESENT)).masked_fill(contradicted, int(ABSENT))


def _own_rows(batch: Batch) -> Tensor:
    """The denials that this rank brings: every n-th of the prompts, which all ranks share, and its own sentences."""
    rank, ranks = (dist.get_rank(), dist.get_world_size()) if distributed() else (0, 1)
    rows = torch.arange(len(batch.denials), device=batch.denied.device)
    return rows[(rows >= len(batch.kinds)) | (rows % ranks == rank)]
