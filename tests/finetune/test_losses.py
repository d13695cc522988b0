from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from xlip.finetune.losses import MAX_WEIGHT, asymmetric, build_loss, focal
from xlip.finetune.recipe import LOSSES

LOGITS = torch.tensor([[2.0, -1.0, 0.3], [-0.5, 0.1, -2.0]], requires_grad=True)
TARGETS = torch.tensor([[1, 0, -1], [0, 1, 0]])


def naive(term) -> float:
    """Mean of `term(p, y)` over the known labels."""
    values = [
        term(1 / (1 + math.exp(-x)), y)
        for row, wanted in zip(LOGITS.tolist(), TARGETS.tolist(), strict=True)
        for x, y in zip(row, wanted, strict=True)
        if y >= 0
    ]
    return float(np.mean(values))


def test_focal_is_its_formula() -> None:
    def term(p: float, y: int) -> float:
        right = p if y else 1 - p
        return -((1 - right) ** 2) * math.log(right)

    assert focal(LOGITS, TARGETS).item() == pytest.approx(naive(term), rel=1e-5)


def test_asymmetric_is_its_formula() -> None:
    def term(p: float, y: int) -> float:
        shifted = max(p - 0.05, 0.0)
        return -(1 - p) * math.log(p) if y else -(shifted**4) * math.log(1 - shifted)

    assert asymmetric(LOGITS, TARGETS).item() == pytest.approx(naive(term), rel=1e-5)


def test_weighted_makes_positives_as_heavy_as_negatives() -> None:
    targets = torch.tensor([[1, 0], [0, 0], [0, 1], [-1, 0]])
    logits = torch.zeros(4, 2, requires_grad=True)
    build_loss("weighted", targets)(logits, targets).backward()
    assert logits.grad is not None
    assert torch.allclose(logits.grad.sum(0), torch.zeros(2), atol=1e-6)
    rare = torch.tensor([[1]] + [[0]] * 999)
    heavy = build_loss("weighted", rare)(torch.zeros(1, 1), torch.ones(1, 1))
    assert heavy.item() == pytest.approx(MAX_WEIGHT * math.log(2), rel=1e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_unknown_labels_have_no_say(name: str) -> None:
    loss = build_loss(name, TARGETS)
    value = loss(LOGITS, TARGETS)
    (gradient,) = torch.autograd.grad(value, LOGITS)
    assert gradient[0, 2] == 0
    assert (gradient[TARGETS >= 0] != 0).all()
    # Right answers are pulled up and wrong ones down.
    assert (gradient[TARGETS == 1] < 0).all()
    assert (gradient[TARGETS == 0] > 0).sum() >= 2
    assert loss(LOGITS, torch.full_like(TARGETS, -1)).item() == 0


@pytest.mark.parametrize("name", LOSSES)
def test_extreme_logits_stay_finite(name: str) -> None:
    logits = torch.tensor([[90.0, -90.0], [-90.0, 90.0]], requires_grad=True)
    targets = torch.tensor([[1, 0], [1, 0]])
    value = build_loss(name, targets)(logits, targets)
    value.backward()
    assert torch.isfinite(value)
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()
