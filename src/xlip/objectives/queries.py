"""The text that asks of each image of a batch: a pair's report, a lone image's description or its kinds' prompts."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from xlip.objectives.kinds import kind_logits
from xlip.objectives.objective import Context
from xlip.objectives.response import token_weights
from xlip.study.kinds import NO_FINDING


class Query(NamedTuple):
    """The text of each image of a batch."""

    words: Tensor
    """Text tokens (B, C, D_text)."""
    weights: Tensor
    """How much each counts in a response by words (B, C); 0 = padding."""
    embedding: Tensor
    """(B, E): the text in the joint space, L2-normalised, without gradient."""


def query_texts(context: Context, entity_weight: float, uncertain: str = "ignore") -> Query:
    """The text that queries each image.

    A pair's are the tokens of its report, a labelled lone image's those of its description. A lone image without labels
    has one token per kind: the kind's positive and negative prompt mixed by the model's own current score, by which the
    kind weighs in the response.
    """
    batch, pairs = context.batch, context.batch.pairs
    parts = []
    for name, rows in (("reports", slice(0, pairs)), ("descriptions", slice(None))):
        inputs = context.inputs[name][rows]
        weights = token_weights(inputs.mask, inputs.is_entity, entity_weight)
        parts.append((context.texts[name][rows].tokens, weights))
    tokens, weights, mixed = _kind_queries(context, uncertain)
    words, counts = parts[1]
    described = batch.described[:, None]
    parts[1] = (
        torch.cat([words, tokens.to(words.dtype)], 1),
        torch.cat([counts * described, weights * ~described], 1),
    )
    length = max(part.shape[1] for part, _ in parts)
    assert sum(len(part) for part, _ in parts) == len(batch.pixels)
    own = context.texts["reports"].embedding[:pairs], context.texts["descriptions"].embedding
    return Query(
        torch.cat([F.pad(part, (0, 0, 0, length - part.shape[1])) for part, _ in parts]),
        torch.cat([F.pad(weight, (0, length - weight.shape[1])) for _, weight in parts]),
        torch.cat([own[0], torch.where(described, own[1], mixed.to(own[1].dtype))]).detach(),
    )


def presence(context: Context, uncertain: str = "ignore") -> Tensor:
    """(B, K) in [0, 1], what the text says: the target of each kind where it is 0 or 1; else 0 for a pair, whose report
    is silent on it, and the model's current score, detached, for a lone image. 0 for No_Finding, which has no place.
    """
    batch = context.batch
    with torch.no_grad():
        score = kind_logits(context.images, context.texts["prompts"], context.model.logit_scale_exp()).sigmoid()
    score = score.masked_fill((torch.arange(len(score), device=score.device) < batch.pairs)[:, None], 0.0)
    targets = batch.targets(batch.image_labels, uncertain)
    # A small floor: an image whose kinds are all absent still has a query.
    found = torch.where(targets >= 0, targets.float(), score).clamp(min=1e-3)
    nowhere = torch.tensor([kind == NO_FINDING for kind in batch.kinds], dtype=torch.bool, device=found.device)
    return found.masked_fill(nowhere, 0.0)


def _kind_queries(context: Context, uncertain: str) -> tuple[Tensor, Tensor, Tensor]:
    """One token per kind for each lone image (L, K, D_text), its weight (L, K), and their mean embedding (L, E)."""
    batch, prompts = context.batch, context.texts["prompts"]
    present = presence(context, uncertain)[batch.pairs :]
    mask = prompts.mask[..., None].to(prompts.tokens.dtype)
    pooled = (prompts.tokens * mask).sum(1) / mask.sum(1).clamp(min=1)
    positive, negative = pooled.chunk(2)
    share = present[..., None].to(pooled.dtype)
    named = F.normalize(present.float() @ prompts.embedding.chunk(2)[0].float(), dim=-1)
    return share * positive + (1 - share) * negative, present, named
