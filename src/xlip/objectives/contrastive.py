"""Image-report contrastive loss on clean features, with several positives (docs/method.md, contrastive)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from xlip.batches.batch import Batch
from xlip.batches.text_batch import TextBatch
from xlip.models.xlip import XLIPModel
from xlip.objectives.blocks import ELEMENTS, blockwise
from xlip.objectives.denials import denial_texts, rivals
from xlip.objectives.objective import Context, Term, distributed, zero
from xlip.objectives.ranks import gather

KINDS_PER_WORD = 63
"""Bits of an int64 that leave its sign alone."""


@dataclass(frozen=True)
class Contrastive:
    """Symmetric InfoNCE between whole images and whole reports of the pairs of all ranks."""

    weight: float = 1.0
    chunk: int = 1024
    """Rows of the similarity matrix held at a time; bounds memory at any number of ranks."""
    denials: bool = False
    """Whether an image's report also competes with the denials that the image contradicts ('no pleural effusion'
    against an image with one); what is uncertain contradicts nothing."""
    joint: ClassVar[bool] = True
    local: ClassVar[bool] = False
    needs: ClassVar[str] = "at least two pairs a step (data.mix.pairs)"
    name: str = "contrastive"

    def texts(self, model: XLIPModel, batch: Batch, generator: torch.Generator) -> dict[str, TextBatch]:
        """The clean reports, and the denials."""
        return {"reports": batch.reports} | (denial_texts(batch) if self.denials else {})

    def __call__(self, context: Context) -> Term:
        """Sum over this rank's pairs of the mean of both directions; count = its pairs."""
        batch, pairs = context.batch, context.batch.pairs
        if pairs == 0 and not distributed():
            return zero(context)
        image, text = context.images[:pairs].embedding, context.texts["reports"][:pairs].embedding
        # Kinds that the report or the data set states; the report's own labels are part of image_labels for pairs.
        keys = positive_keys(batch.report_key[:pairs], batch.image_labels[:pairs])
        against = rivals(context, image, batch.targets(batch.image_labels[:pairs], "ignore")) if self.denials else None
        return both_ways(image, text, keys, context.model.logit_scale_exp(), self.chunk, against)


def both_ways(
    first: Tensor, second: Tensor, keys: Tensor, scale: Tensor, chunk: int, against: Tensor | None = None
) -> Term:
    """Sum over this rank's rows of the mean of `info_nce` in both directions, against the rows of all ranks; count =
    its rows.

    Args:
        first: (M, E) L2-normalised.
        second: (M, E), row by row the partners of `first`.
        keys: (M, 1 + W) int64, see `positive_keys`.
        scale: scalar.
        chunk: rows per block.
        against: (M,) further competitors of `second` for each row of `first`, see `info_nce`.
    """
    all_first, all_second, all_keys = gather(first), gather(second), gather(keys)
    total = info_nce(first, all_second, keys, all_keys, scale, chunk, against)
    total = total + info_nce(second, all_first, keys, all_keys, scale, chunk)
    return Term(total / 2, torch.tensor(float(len(first)), device=total.device))


def info_nce(
    queries: Tensor,
    candidates: Tensor,
    query_keys: Tensor,
    candidate_keys: Tensor,
    scale: Tensor,
    chunk: int,
    against: Tensor | None = None,
) -> Tensor:
    """Sum over queries of the cross-entropy against a uniform target over their positives.

    L_i = -1/|P(i)| sum_{j in P(i)} log softmax_j(scale * q_i . c_j): the outside form of Khosla et al. 2020 (eq. 2).

    Args:
        queries: (M, E) L2-normalised.
        candidates: (L, E), the queries' own partners among them.
        query_keys: (M, 1 + W) int64, see `positive_keys`.
        candidate_keys: (L, 1 + W) int64.
        scale: scalar.
        chunk: rows per block; with more rows than that, at most chunk x L logits exist at a time, and fewer where L is
            large (see `blockwise`).
        against: (M,) log of the summed exponentials of further negatives of each query, which join its denominator.
    """
    if len(queries) > chunk or len(queries) * len(candidates) > ELEMENTS:
        return blockwise(queries, candidates, query_keys, candidate_keys, scale, against, positives, chunk)
    return queries.sum() * 0.0 + _block(queries, candidates, query_keys, candidate_keys, scale, against)


def positive_keys(report_key: Tensor, labels: Tensor) -> Tensor:
    """(M, 1 + W) int64: what `positives` compares.

    Column 0 is the text's key. The others spell the set of present kinds, one bit a kind and `KINDS_PER_WORD` kinds a
    column, so that no two sets look alike however many kinds there are.

    Args:
        report_key: (M,) int64, equal for equal texts.
        labels: (M, K), 1 = present.
    """
    words = [
        ((part == 1).long() << torch.arange(part.shape[1], device=labels.device)).sum(1)
        for part in labels.split(KINDS_PER_WORD, 1)
    ]
    return torch.stack([report_key, *words], 1)


def positives(query_keys: Tensor, candidate_keys: Tensor) -> Tensor:
    """(M, L) bool: equal texts, or equal non-empty sets of present kinds (docs/method.md, contrastive)."""
    same_kinds = (query_keys[:, 1:] != 0).any(1, keepdim=True)
    for query, candidate in zip(query_keys[:, 1:].T, candidate_keys[:, 1:].T, strict=True):
        same_kinds = same_kinds & (query[:, None] == candidate)
    return same_kinds | (query_keys[:, :1] == candidate_keys[:, 0])


def _block(
    queries: Tensor,
    candidates: Tensor,
    query_keys: Tensor,
    candidate_keys: Tensor,
    scale: Tensor,
    against: Tensor | None,
) -> Tensor:
    logits = scale * queries.float() @ candidates.float().T
    if against is not None:
        logits = torch.cat([logits, against[:, None]], 1)
    log_probability = logits.log_softmax(1)[:, : len(candidates)]
    positive = positives(query_keys, candidate_keys).float()
    return -((log_probability * positive).sum(1) / positive.sum(1)).sum()
