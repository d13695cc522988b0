"""Disease-kind prompts: how labels become text, for images and for reports (DESIGN 2.4)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from xlip.batches.batch import Batch
from xlip.batches.text_batch import TextBatch
from xlip.errors import XLIPError
from xlip.models.xlip import Encodings, XLIPModel
from xlip.objectives.objective import Context, Term, zero
from xlip.study.labels import UNCERTAIN_CODE

UNCERTAIN_POLICIES = {"ignore": -1, "present": 1, "absent": 0}


@dataclass(frozen=True)
class ImageKind:
    """Sigmoid loss between images and the prompts of the kinds whose label is known."""

    weight: float = 1.0
    uncertain: str = "ignore"
    """What an uncertain label counts as: ignore, present or absent."""
    name: str = "image_kind"

    def __post_init__(self) -> None:
        _check_policy(self.name, self.uncertain)

    def texts(self, model: XLIPModel, batch: Batch, generator: torch.Generator) -> dict[str, TextBatch]:
        """The prompts."""
        return {"prompts": batch.prompts}

    def __call__(self, context: Context) -> Term:
        """Sum over known labels of the binary cross-entropy; count = known labels."""
        return kind_error(context, context.images, context.batch.image_labels, self.uncertain)


@dataclass(frozen=True)
class ReportKind:
    """The same between reports and prompts, with the kinds that the tagger found: ties report style to prompt style."""

    weight: float = 1.0
    uncertain: str = "ignore"
    name: str = "report_kind"

    def __post_init__(self) -> None:
        _check_policy(self.name, self.uncertain)

    def texts(self, model: XLIPModel, batch: Batch, generator: torch.Generator) -> dict[str, TextBatch]:
        """The reports and the prompts."""
        return {"reports": batch.reports, "prompts": batch.prompts}

    def __call__(self, context: Context) -> Term:
        """Sum over known labels of the binary cross-entropy; count = known labels."""
        return kind_error(context, context.texts["reports"], context.batch.report_labels, self.uncertain)


def kind_logits(items: Encodings, prompts: Encodings, scale: Tensor) -> Tensor:
    """Scale * (cos(item, positive prompt) - cos(item, negative prompt)), (M, K).

    Its sigmoid is the softmax of the two that zero-shot classification uses (PROTOCOLS 3).
    """
    positive, negative = prompts.embedding.chunk(2)
    return scale * items.embedding @ (positive - negative).T


def kind_error(context: Context, items: Encodings, labels: Tensor, uncertain: str) -> Term:
    """Binary cross-entropy over the known labels (M, K) of items."""
    labels = torch.where(labels == UNCERTAIN_CODE, UNCERTAIN_POLICIES[uncertain], labels)
    known = labels >= 0
    if not bool(known.any()):
        return zero(context)
    logits = kind_logits(items, context.texts["prompts"], context.model.logit_scale_exp())
    error = F.binary_cross_entropy_with_logits(logits[known], labels[known].float(), reduction="sum")
    return Term(error, known.sum().float())


def _check_policy(name: str, policy: str) -> None:
    if policy not in UNCERTAIN_POLICIES:
        raise XLIPError(f"{name}.uncertain: expected one of {', '.join(UNCERTAIN_POLICIES)}; got {policy!r}")
