"""What the header says of an image, as text: lone images join without a label."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from xlip.batches.batch import Batch
from xlip.batches.text_batch import TextBatch
from xlip.models.xlip import XLIPModel
from xlip.objectives.objective import Context, Term, zero
from xlip.study.attributes import attribute_columns


@dataclass(frozen=True)
class ImageAttributes:
    """Cross-entropy between an image's sex, age and view and the texts of their values.

    Not in the paper, whose prompts are of diseases: the same idea for what an archive knows of every image. View, age
    and sex go with the findings, so a model that has learned them may take them as shortcuts: look at the subgroups of
    an evaluation.
    """

    weight: float = 1.0
    joint: ClassVar[bool] = False
    local: ClassVar[bool] = False
    needs: ClassVar[str] = "images whose headers tell view, sex or age"
    name: str = "image_attributes"

    def texts(self, model: XLIPModel, batch: Batch, generator: torch.Generator) -> dict[str, TextBatch]:
        """One text of every value."""
        return {"attributes": batch.attribute_texts}

    def __call__(self, context: Context) -> Term:
        """Sum over images and attributes of -sum_v q_v log softmax_v(scale * cos(image, text of v)); count = those
        that are known.
        """
        targets = context.batch.attributes
        if not len(targets):
            return zero(context)
        scores = context.model.logit_scale_exp() * context.images.embedding @ context.texts["attributes"].embedding.T
        found = torch.cat([scores[:, columns].log_softmax(1) for columns in attribute_columns()], 1)
        return Term(-(targets * found).sum(), targets.sum())
