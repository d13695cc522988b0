"""What every objective shares: its interface, the encodings computed once a step, and the mean over all ranks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch import distributed as dist

from xlip.batches.batch import Batch
from xlip.batches.text_batch import TextBatch
from xlip.models.xlip import Encodings, XLIPModel


@dataclass(frozen=True)
class Term:
    """A loss before its mean: the sum over valid items and how many they are."""

    total: Tensor
    """Scalar, fp32."""
    count: Tensor
    """Scalar: valid items; 0 where this rank has none."""


@dataclass(frozen=True)
class Context:
    """One step's material: one pass of each tower serves every objective."""

    model: XLIPModel
    batch: Batch
    images: Encodings
    """All images of the batch, whole."""
    texts: dict[str, Encodings]
    """All texts that some objective asked for: `reports`, `prompts`, `masked_reports` ..."""
    inputs: dict[str, TextBatch]
    """What `texts` were encoded from."""
    progress: float
    """Share of the training done, in [0, 1]."""
    generator: torch.Generator
    """CPU generator of this step and rank: every random draw comes from it."""


class Objective(Protocol):
    """One term of the loss. Adding one = a file here and a line in `registry.py`."""

    name: str
    weight: float

    def texts(self, model: XLIPModel, batch: Batch, generator: torch.Generator) -> dict[str, TextBatch]:
        """The texts that this term needs encoded; equal names mean equal texts."""
        ...

    def __call__(self, context: Context) -> Term:
        """The term's sum and count on this rank."""
        ...


def mean_over_ranks(term: Term) -> Tensor:
    """Sum / all-reduced count, times the ranks because data-parallel training averages gradients.

    The rule: docs/method.md, prompts.

    A rank without a valid item gives a zero that still has a graph; no rank divides by 0.
    """
    count, ranks = term.count.detach().clone().float(), 1
    if distributed():
        dist.all_reduce(count)
        ranks = dist.get_world_size()
    return term.total * ranks / count.clamp(min=1)


def distributed() -> bool:
    """Whether several processes train together."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def zero(context: Context) -> Term:
    """The term of a rank that has no valid item: 0, joined to the graph so that backward runs."""
    anchor = context.model.logit_scale
    return Term(anchor.float() * 0.0, torch.zeros((), device=anchor.device))
