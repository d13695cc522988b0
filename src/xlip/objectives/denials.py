"""Which denials an image contradicts, and how much they speak against its own texts."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch import distributed as dist

from xlip.batches.batch import Batch
from xlip.batches.text_batch import TextBatch
from xlip.objectives.objective import Context, distributed
from xlip.objectives.ranks import gather
from xlip.study.labels import ABSENT, PRESENT, UNKNOWN

NONE = -1e4
"""A logit of what is not there; finite, so that a row of nothing else gets a gradient of 0 and not NaN."""


def truth_of_denials(denied: Tensor, targets: Tensor) -> Tensor:
    """Whether each denial is true of each image.

    Args:
        denied: (M, K) bool.
        targets: (B, K) of 1, 0 and -1 = unknown.

    Returns:
        (B, M) int8: 1 where every denied kind is absent, 0 where one of them is present, -1 where that is unknown.
    """
    columns = denied.T.float()
    contradicted = (targets == PRESENT).float() @ columns > 0
    holds = (targets != ABSENT).float() @ columns == 0
    unknown = torch.full_like(contradicted, int(UNKNOWN), dtype=torch.int8)
    return unknown.masked_fill(holds, int(PRESENT)).masked_fill(contradicted, int(ABSENT))


@dataclass(frozen=True)
class Denials:
    """The texts of a step that deny kinds: negative prompts, denials of every kind by its name, reports' sentences."""

    texts: Tensor
    """(M, E), L2-normalised."""
    denied: Tensor
    """(M, K) bool: which kinds each denies."""

    @classmethod
    def own(cls, context: Context) -> Denials:
        """Those that this rank brings: every n-th of the 2 K prompts, which all ranks share, and its own sentences."""
        batch, count = context.batch, len(context.batch.kinds)
        negative = context.texts["prompts"].embedding.chunk(2)[1]
        texts = torch.cat([negative, context.texts["denials"].embedding])
        denied = torch.cat([torch.eye(count, dtype=torch.bool, device=texts.device), batch.denied])
        rank, ranks = (dist.get_rank(), dist.get_world_size()) if distributed() else (0, 1)
        rows = torch.arange(len(texts))  # on the CPU: which are taken is known there
        own = rows[(rows >= 2 * count) | (rows % ranks == rank)].to(texts.device, non_blocking=True)
        return cls(texts[own], denied[own])

    def of_all_ranks(self) -> Denials:
        """Those of every rank, once each."""
        return Denials(gather(self.texts), gather(self.denied))


def denial_texts(batch: Batch) -> dict[str, TextBatch]:
    """What an objective that reads denials needs encoded."""
    return {"prompts": batch.prompts, "denials": batch.denials}


def rivals(context: Context, images: Tensor, targets: Tensor) -> Tensor:
    """(B,) log of the summed exponentials of each image's logits with the denials that it contradicts.

    Args:
        context: its texts hold those of `denial_texts`.
        images: (B, E), L2-normalised.
        targets: (B, K) of 1, 0 and -1 = unknown.
    """
    every = Denials.own(context).of_all_ranks()
    false = truth_of_denials(every.denied, targets) == ABSENT
    logits = context.model.logit_scale_exp() * images.float() @ every.texts.float().T
    return torch.cat([logits.masked_fill(~false, NONE), logits.new_full((len(logits), 1), NONE)], 1).logsumexp(1)
