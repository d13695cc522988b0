"""Kinds from places: the loss that teaches the map of a text where a finding is.

Weakly supervised: it sees labels of whole images alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch.nn import functional as F

from xlip.batches.batch import Batch
from xlip.batches.text_batch import TextBatch
from xlip.errors import XLIPError
from xlip.models.local import whole
from xlip.models.xlip import XLIPModel
from xlip.objectives.kind_contrast import present_against_absent
from xlip.objectives.objective import Context, Term, zero
from xlip.study.labels import UncertainPolicy


@dataclass(frozen=True)
class LocalKind:
    """Each kind's label against the log-mean-exp of its map, and present against absent kinds.

    Logit of kind k: log mean_j exp(s p_j . q_k + b), with the place's vector p_j and the query q_k that `LocalHead`
    makes of the kind's positive prompts. It is the soft form of multiple-instance learning (Pinheiro & Collobert 2015,
    arXiv:1411.6228): one place that answers is enough, and it is the one that learns. Not in the paper.
    """

    weight: float = 1.0
    uncertain: str = "ignore"
    """What an uncertain label counts as, see `UncertainPolicy.parse`."""
    joint: ClassVar[bool] = False
    local: ClassVar[bool] = True
    needs: ClassVar[str] = "images with labels, or pairs whose reports name kinds"
    name: str = "local_kind"

    def __post_init__(self) -> None:
        UncertainPolicy.parse(self.uncertain, f"{self.name}.uncertain")

    def texts(self, model: XLIPModel, batch: Batch, generator: torch.Generator) -> dict[str, TextBatch]:
        """The prompts."""
        return {"prompts": batch.prompts}

    def __call__(self, context: Context) -> tuple[Term, Term]:
        """Binary cross-entropy, count = known labels; and the contrast, count = images with a present kind.

        Raises:
            XLIPError: a model without a local head.
        """
        model, places = context.model, context.images.places
        if places is None or model.local is None:
            raise XLIPError("objectives.local_kind: the model has no local head; set model.local to true")
        labels = context.batch.targets(context.batch.image_labels, self.uncertain)
        if not len(labels):
            return zero(context), zero(context)
        known = labels >= 0
        logits = whole(model.local.answers(places, context.texts["prompts"].embedding.chunk(2)[0]))
        error = F.binary_cross_entropy_with_logits(logits, labels.clamp(min=0).to(logits.dtype), reduction="none")
        return Term((error * known).sum(), known.sum().float()), present_against_absent(logits, labels)
