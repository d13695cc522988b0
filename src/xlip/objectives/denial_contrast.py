"""Contrast of denials: 'no pleural effusion' belongs to the images without one, and to no image with one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from xlip.batches.batch import Batch
from xlip.batches.text_batch import TextBatch
from xlip.models.xlip import XLIPModel
from xlip.objectives.denials import Denials, denial_texts, truth_of_denials
from xlip.objectives.kind_contrast import present_against_absent
from xlip.objectives.objective import Context, Term, distributed, zero
from xlip.objectives.ranks import gather
from xlip.study.labels import UncertainPolicy


@dataclass(frozen=True)
class DenialContrast:
    """InfoNCE between images and texts that deny kinds, both ways: each denial is judged alone, across the images.

    `ImageKind` trains the *difference* of a kind's two prompts and `KindContrast` its positive prompt, so nothing holds
    the denial to the images that it is true of: alone, 'no X' looks most like an X. Here images of which a denial is
    true compete with those that contradict it, and for an image the true denials with the false ones. The texts are
    every kind's negative prompt, a denial of every kind by its name, and a sentence of every report in which the tagger
    found nothing but denials. VECL (MICCAI 2025) takes contradicting sentences as negatives too; the form of the loss
    is ours. A text tower that averages its words needs `model.text_pool: polarity` to learn it.
    """

    weight: float = 1.0
    uncertain: str = "ignore"
    """What an uncertain label counts as, see `UncertainPolicy.parse`."""
    joint: ClassVar[bool] = True
    local: ClassVar[bool] = False
    needs: ClassVar[str] = "images whose labels say that a kind is absent"
    name: str = "denial_contrast"

    def __post_init__(self) -> None:
        UncertainPolicy.parse(self.uncertain, f"{self.name}.uncertain")

    def texts(self, model: XLIPModel, batch: Batch, generator: torch.Generator) -> dict[str, TextBatch]:
        """The denials, and the prompts, of which the negative ones are denials too."""
        return denial_texts(batch)

    def __call__(self, context: Context) -> Term:
        """Sum over images with a true denial, and over denials that are true of an image of the batch; count = both.

        Images and reports are those of all ranks; a rank takes its own images and sentences, and every n-th prompt.
        """
        batch = context.batch
        targets = batch.targets(batch.image_labels, self.uncertain)
        if not distributed() and not len(targets):
            return zero(context)
        scale, own = context.model.logit_scale_exp(), Denials.own(context)
        every, images = own.of_all_ranks(), context.images.embedding
        by_image = present_against_absent(scale * images @ every.texts.T, truth_of_denials(every.denied, targets))
        truth = truth_of_denials(own.denied, gather(targets))
        by_text = present_against_absent(scale * own.texts @ gather(images).T, truth.T)
        return Term(by_image.total + by_text.total, by_image.count + by_text.count)
