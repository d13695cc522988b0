"""What every objective shares: its interface, the encodings computed once a step, and the mean over all ranks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol, runtime_checkable

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
    views: dict[str, Encodings]
    """Further images that an objective asked for, by its name; see `HasViews`."""
    progress: float
    """Share of the training done, in [0, 1]."""
    generator: torch.Generator
    """CPU generator of this step and rank: every random draw comes from it."""


class Objective(Protocol):
    """One term of the loss. Adding one = a file here and a line in `registry.py`."""

    joint: ClassVar[bool]
    """Whether a row's loss depends on other rows, by their embeddings alone. What is not joint is a sum over rows, and
    a step may be computed in parts."""
    local: ClassVar[bool]
    """Whether it looks at `Encodings.places`."""
    needs: ClassVar[str]
    """What of a batch it learns from; said to whoever trains it on data without."""
    name: str
    weight: float

    def texts(self, model: XLIPModel, batch: Batch, generator: torch.Generator) -> dict[str, TextBatch]:
        """The texts that this term needs encoded; equal names mean equal texts."""
        ...

    def __call__(self, context: Context) -> Term | tuple[Term, ...]:
        """The term's sum and count on this rank; several where it is a sum of means."""
        ...


@runtime_checkable
class HasViews(Protocol):
    """An objective that needs further images encoded."""

    def views(self, batch: Batch) -> Tensor:
        """(B, 1, H, W), row by row of the batch's images."""
        ...


def as_terms(found: Term | tuple[Term, ...]) -> tuple[Term, ...]:
    """What an objective returned, as several."""
    return (found,) if isinstance(found, Term) else found


def mean_over_ranks(found: Term | tuple[Term, ...]) -> Tensor:
    """Sum / all-reduced count, times the ranks because data-parallel training averages gradients.

    The rule: docs/method.md, prompts.

    A rank without a valid item gives a zero that still has a graph; no rank divides by 0.
    """
    terms = as_terms(found)
    counts = over_ranks(torch.stack([term.count.detach().float() for term in terms]))
    means = [term.total * ranks() / count.clamp(min=1) for term, count in zip(terms, counts, strict=True)]
    return means[0] if len(means) == 1 else torch.stack(means).sum()


def over_ranks(counts: Tensor) -> Tensor:
    """The sum of all ranks."""
    if distributed():
        counts = counts.clone()
        dist.all_reduce(counts)
    return counts


def ranks() -> int:
    """Processes that train together."""
    return dist.get_world_size() if distributed() else 1


def distributed() -> bool:
    """Whether several processes train together."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def zero(context: Context) -> Term:
    """The term of a rank that has no valid item: 0, joined to the graph so that backward runs."""
    anchor = context.model.logit_scale
    return Term(anchor.float().sum() * 0.0, torch.zeros((), device=anchor.device))
