"""The model and its objectives as one module: a batch in, the loss and its named terms out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils._pytree import register_dataclass

from xlip.batches.batch import Batch
from xlip.batches.text_batch import TextBatch
from xlip.models.xlip import Encodings, XLIPModel
from xlip.objectives.encoding import encode_together
from xlip.objectives.objective import Context, HasViews, Objective, mean_over_ranks

__all__ = ["Losses", "Pretrainer", "encode_together"]


@dataclass(frozen=True)
class Losses:
    """The weighted sum that is minimised, and every term before its weight."""

    total: Tensor
    terms: dict[str, Tensor]


# Wrappers look for the tensors of an output; FSDP2 knows those of registered classes alone.
register_dataclass(Losses)


class Pretrainer(nn.Module):
    """What data-parallel wrappers wrap: one encoder pass over all images and one over all texts serve every term."""

    def __init__(self, model: XLIPModel, objectives: Sequence[Objective]) -> None:
        super().__init__()
        self.model, self.objectives = model, tuple(objectives)

    def forward(self, batch: Batch, progress: float, generator: torch.Generator) -> Losses:
        """Total = sum of weight x term; `progress` in [0, 1] is the share of the training done.

        The rule: docs/method.md, the total.
        """
        inputs = self.inputs(batch, generator)
        context = Context(
            model=self.model,
            batch=batch,
            images=self.images(batch),
            texts=encode_together(self.model, inputs),
            inputs=inputs,
            views=self.views(batch),
            progress=progress,
            generator=generator,
        )
        return self.losses({objective.name: mean_over_ranks(objective(context)) for objective in self.objectives})

    def inputs(self, batch: Batch, generator: torch.Generator) -> dict[str, TextBatch]:
        """The texts that the objectives need encoded."""
        return {k: v for o in self.objectives for k, v in o.texts(self.model, batch, generator).items()}

    def images(self, batch: Batch) -> Encodings:
        """The images, with their places where some objective looks at them."""
        return self.model.images(batch.pixels, places=any(one.local for one in self.objectives))

    def views(self, batch: Batch) -> dict[str, Encodings]:
        """The further images that the objectives need encoded."""
        asking: Iterable[tuple[str, HasViews]] = ((o.name, o) for o in self.objectives if isinstance(o, HasViews))
        return {name: self.model.images(one.views(batch), places=False) for name, one in asking}

    def losses(self, terms: dict[str, Tensor]) -> Losses:
        """The weighted sum of the terms' means."""
        total = torch.stack([o.weight * terms[o.name] for o in self.objectives]).sum()
        return Losses(total, {name: term.detach() for name, term in terms.items()})
