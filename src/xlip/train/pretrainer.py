"""The model and its objectives as one module: a batch in, the loss and its named terms out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from xlip.batches.batch import Batch
from xlip.batches.text_batch import TextBatch
from xlip.models.xlip import Encodings, XLIPModel
from xlip.objectives.objective import Context, Objective, mean_over_ranks


@dataclass(frozen=True)
class Losses:
    """The weighted sum that is minimised, and every term before its weight."""

    total: Tensor
    terms: dict[str, Tensor]


class Pretrainer(nn.Module):
    """What data-parallel wrappers wrap: one encoder pass over all images and one over all texts serve every term."""

    def __init__(self, model: XLIPModel, objectives: Sequence[Objective]) -> None:
        super().__init__()
        self.model, self.objectives = model, tuple(objectives)

    def forward(self, batch: Batch, progress: float, generator: torch.Generator) -> Losses:
        """Total = sum of weight x term; `progress` in [0, 1] is the share of the training done.

        The rule: docs/method.md, the total.
        """
        inputs = {k: v for o in self.objectives for k, v in o.texts(self.model, batch, generator).items()}
        context = Context(
            model=self.model,
            batch=batch,
            images=self.model.images(batch.pixels),
            texts=encode_together(self.model, inputs),
            inputs=inputs,
            progress=progress,
            generator=generator,
        )
        terms = {objective.name: mean_over_ranks(objective(context)) for objective in self.objectives}
        total = torch.stack([o.weight * terms[o.name] for o in self.objectives]).sum()
        return Losses(total, {name: term.detach() for name, term in terms.items()})


def encode_together(model: XLIPModel, inputs: dict[str, TextBatch]) -> dict[str, Encodings]:
    """Every text once through the text tower; short ones (prompts) apart, not padded to a report's length.

    Each part comes back cut to its own length.
    """
    longest = max((text.ids.shape[1] for text in inputs.values()), default=0)
    groups: dict[bool, dict[str, TextBatch]] = {True: {}, False: {}}
    for name, text in inputs.items():
        groups[text.ids.shape[1] * 2 <= longest][name] = text
    return {name: part for group in groups.values() for name, part in _encode_group(model, group).items()}


def _encode_group(model: XLIPModel, inputs: dict[str, TextBatch]) -> dict[str, Encodings]:
    if not inputs:
        return {}
    encoded = model.texts(TextBatch.concatenate(list(inputs.values())))
    parts, start = {}, 0
    for name, text in inputs.items():
        rows, length = slice(start, start + len(text)), text.ids.shape[1]
        parts[name] = Encodings(encoded.tokens[rows, :length], encoded.embedding[rows], encoded.mask[rows, :length])
        start += len(text)
    return parts
