"""Cross-entropy over a similarity matrix that never exists as a whole: values and gradients block by block."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Positives = Callable[[Tensor, Tensor], Tensor]
"""Keys of M queries and of L candidates -> (M, L) bool."""
ELEMENTS = 1 << 23
"""Similarities held at a time, 32 MB each for the few copies that a block needs."""


def blockwise(
    queries: Tensor,
    candidates: Tensor,
    query_keys: Tensor,
    candidate_keys: Tensor,
    scale: Tensor,
    against: Tensor | None,
    positives: Positives,
    chunk: int,
) -> Tensor:
    """What `info_nce` computes. The gradient is computed together with the value, while a block's logits are there:
    three products of matrices for each block, where computing logits again in the backward pass takes four.
    """
    rows = max(1, min(chunk, ELEMENTS // max(len(candidates), 1)))
    more = queries.new_full((len(queries),), -torch.inf) if against is None else against
    found: Tensor = _Blocks.apply(  # type: ignore[no-untyped-call]
        queries, candidates, scale, more, query_keys, candidate_keys, positives, rows
    )
    return found


class _Blocks(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        queries: Tensor,
        candidates: Tensor,
        scale: Tensor,
        against: Tensor,
        query_keys: Tensor,
        candidate_keys: Tensor,
        positives: Positives,
        rows: int,
    ) -> Tensor:
        first, second, factor = queries.float(), candidates.float(), scale.float()
        total = first.new_zeros(())
        slopes = [torch.zeros_like(one) for one in (first, second, factor)]
        shares = torch.zeros_like(against, dtype=torch.float32)
        for start in range(0, len(first), rows):
            part = slice(start, start + rows)
            products = first[part] @ second.T
            positive = positives(query_keys[part], candidate_keys)
            weights = positive.float().div_(positive.sum(1, keepdim=True))
            logits = products * factor
            size = torch.logaddexp(logits.logsumexp(1), against[part].float())
            total += size.sum() - (logits * weights).sum()
            shares[part] = (against[part].float() - size).exp()
            slope = logits.sub_(size[:, None]).exp_().sub_(weights)
            slopes[0][part] = slope @ second * factor
            slopes[1] += slope.T @ (first[part] * factor)
            slopes[2] += (slope * products).sum()
        ctx.save_for_backward(*slopes, shares)
        ctx.types = [one.dtype for one in (queries, candidates, scale, against)]
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        found = [(gradients[0] * one).to(kind) for one, kind in zip(ctx.saved_tensors, ctx.types, strict=True)]
        return (*found, None, None, None, None)
