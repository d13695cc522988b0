"""Disease-kind prompts: how labels become text, for images and for reports (docs/method.md, prompts)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from xlip.batches.batch import Batch
from xlip.batches.text_batch import TextBatch
from xlip.models.xlip import Encodings, XLIPModel
from xlip.objectives.objective import Context, Term, zero
from xlip.study.labels import UncertainPolicy


@dataclass(frozen=True)
class ImageKind:
    """Sigmoid loss between images and the prompts of the kinds whose label is known."""

    weight: float = 1.0
    uncertain: str = "ignore"
    """What an uncertain label counts as, see `UncertainPolicy.parse`."""
    joint: ClassVar[bool] = False
    local: ClassVar[bool] = False
    needs: ClassVar[str] = "images with labels, or pairs whose reports name kinds"
    name: str = "image_kind"

    def __post_init__(self) -> None:
        UncertainPolicy.parse(self.uncertain, f"{self.name}.uncertain")

    def texts(self, model: XLIPModel, batch: Batch, generator: torch.Generator) -> dict[str, TextBatch]:
        """The prompts."""
        return {"prompts": batch.prompts}

    def __call__(self, context: Context) -> Term:
        """Sum over known labels of the binary cross-entropy; count = known labels."""
        targets = context.batch.targets(context.batch.image_labels, self.uncertain)
        return kind_error(context, context.images, targets)


@dataclass(frozen=True)
class ReportKind:
    """The same between reports and prompts, with the kinds that the tagger found: ties report style to prompt style."""

    weight: float = 1.0
    uncertain: str = "ignore"
    """What an uncertain kind of a report counts as, see `UncertainPolicy.parse`."""
    joint: ClassVar[bool] = False
    local: ClassVar[bool] = False
    needs: ClassVar[str] = "reports that name kinds"
    name: str = "report_kind"

    def __post_init__(self) -> None:
        UncertainPolicy.parse(self.uncertain, f"{self.name}.uncertain")

    def texts(self, model: XLIPModel, batch: Batch, generator: torch.Generator) -> dict[str, TextBatch]:
        """The reports and the prompts."""
        return {"reports": batch.reports, "prompts": batch.prompts}

    def __call__(self, context: Context) -> Term:
        """Sum over known labels of the binary cross-entropy; count = known labels."""
        targets = context.batch.targets(context.batch.report_labels, self.uncertain)
        return kind_error(context, context.texts["reports"], targets)


def kind_logits(items: Encodings, prompts: Encodings, scale: Tensor) -> Tensor:
    """Scale * (cos(item, positive prompt) - cos(item, negative prompt)), (M, K).

    Its sigmoid is the softmax of the two that zero-shot classification uses (docs/protocols.md, zero-shot scoring).
    """
    positive, negative = prompts.embedding.chunk(2)
    return scale * items.embedding @ (positive - negative).T


def kind_error(context: Context, items: Encodings, targets: Tensor) -> Term:
    """Binary cross-entropy over the known targets (M, K) of items."""
    if not len(targets):
        return zero(context)
    known = targets >= 0
    logits = kind_logits(items, context.texts["prompts"], context.model.logit_scale_exp())
    error = F.binary_cross_entropy_with_logits(logits, targets.clamp(min=0).to(logits.dtype), reduction="none")
    return Term((error * known).sum(), known.sum().float())
