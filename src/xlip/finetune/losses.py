"""Losses of many yes-or-no kinds whose labels are partly unknown; each is a mean over the known ones."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

Loss = Callable[[Tensor, Tensor], Tensor]
"""Logits (B, K) and targets (B, K) of 1, 0 and -1 = unknown -> a scalar; 0 where nothing is known."""
MAX_WEIGHT = 20.0
"""Of a positive in `weighted`: one image of a very rare kind must not rule a step."""


def build_loss(name: str, targets: Tensor) -> Loss:
    """The loss of `Recipe.loss`.

    Args:
        name: bce, weighted, focal or asymmetric.
        targets: (n, K), all training labels; `weighted` counts them.
    """
    if name == "weighted":
        positives, negatives = ((targets == state).sum(0).float() for state in (1, 0))
        weight = (negatives / positives.clamp(min=1)).clamp(1 / MAX_WEIGHT, MAX_WEIGHT)
        return lambda logits, wanted: weighted(logits, wanted, weight.to(logits.device))
    return {"bce": bce, "focal": focal, "asymmetric": asymmetric}[name]


def bce(logits: Tensor, targets: Tensor) -> Tensor:
    """Binary cross-entropy."""
    return _mean(F.binary_cross_entropy_with_logits(logits, targets.clamp(min=0).float(), reduction="none"), targets)


def weighted(logits: Tensor, targets: Tensor, weight: Tensor) -> Tensor:
    """Binary cross-entropy with a weight (K,) on the positives."""
    wanted = targets.clamp(min=0).float()
    terms = F.binary_cross_entropy_with_logits(logits, wanted, pos_weight=weight, reduction="none")
    return _mean(terms, targets)


def focal(logits: Tensor, targets: Tensor, gamma: float = 2.0) -> Tensor:
    """Focal loss (Lin et al. 2017, arXiv:1708.02002, eq. 4), without its weight alpha: (1 - p_t)^gamma * -log p_t."""
    signed = torch.where(targets == 1, logits, -logits)
    return _mean(-F.logsigmoid(signed) * torch.sigmoid(-signed).pow(gamma), targets)


def asymmetric(
    logits: Tensor, targets: Tensor, gamma_positive: float = 1.0, gamma_negative: float = 4.0, margin: float = 0.05
) -> Tensor:
    """Asymmetric loss (Ridnik et al. 2021, arXiv:2009.14119, eq. 7): easy negatives below `margin` count nothing."""
    probability = torch.sigmoid(logits)
    positive = -F.logsigmoid(logits) * (1 - probability).pow(gamma_positive)
    shifted = (probability - margin).clamp(min=0)
    negative = -torch.log1p(-shifted) * shifted.pow(gamma_negative)
    return _mean(torch.where(targets == 1, positive, negative), targets)


def _mean(terms: Tensor, targets: Tensor) -> Tensor:
    known = targets >= 0
    return (terms * known).sum() / known.sum().clamp(min=1)
