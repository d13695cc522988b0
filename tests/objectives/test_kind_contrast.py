from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from tiny import context_of, tiny_batch, tiny_model
from xlip.objectives.kind_contrast import KindContrast, present_against_absent


def naive(scores, labels):
    """InfoNCE of each present item against the absent ones, with loops."""
    total, rows = 0.0, 0
    for score, label in zip(scores, labels, strict=True):
        present = [s for s, y in zip(score, label, strict=True) if y == 1]
        absent = sum(np.exp(s) for s, y in zip(score, label, strict=True) if y == 0)
        if present:
            rows += 1
            total += np.mean([-np.log(np.exp(s) / (np.exp(s) + absent)) for s in present])
    return total, rows


def test_it_equals_the_naive_loop_and_leaves_unknown_and_uncertain_out() -> None:
    rng = np.random.default_rng(0)
    scores, labels = rng.normal(size=(6, 5)), rng.integers(-1, 3, (6, 5))
    labels[0] = 0
    term = present_against_absent(torch.tensor(scores), torch.tensor(labels))
    total, rows = naive(scores, labels)
    assert float(term.total) == pytest.approx(total, rel=1e-6)
    assert int(term.count) == rows == 5


def test_images_choose_among_prompts_and_prompts_among_images() -> None:
    model = tiny_model().eval()
    objective = KindContrast()
    context = context_of(model, tiny_batch(model, 6, 6, 0), objective)
    prompts = context.texts["prompts"].embedding[: len(context.batch.kinds)]
    scores = (model.logit_scale_exp() * context.images.embedding @ prompts.T).detach().double().numpy()
    labels = context.batch.image_labels.numpy()
    by_image, by_prompt = naive(scores, labels), naive(scores.T, labels.T)
    term = objective(context)
    assert by_image[0] != pytest.approx(by_prompt[0], rel=1e-2)
    assert float(term.total.detach()) == pytest.approx(by_image[0] + by_prompt[0], rel=1e-4)
    assert float(term.count) == by_image[1] + by_prompt[1]


def test_a_row_without_a_rival_costs_nothing_and_has_a_finite_gradient() -> None:
    scores = torch.randn(1, 3, requires_grad=True)
    present_against_absent(scores, torch.tensor([[1, -1, 1]])).total.backward()
    assert scores.grad is not None
    assert torch.equal(scores.grad, torch.zeros(1, 3))


def test_what_all_prompts_share_cancels_between_them() -> None:
    scores, labels = torch.randn(4, 6), torch.randint(0, 2, (4, 6))
    shifted = scores + torch.randn(4, 1)
    assert torch.allclose(present_against_absent(scores, labels).total, present_against_absent(shifted, labels).total)


def test_without_a_present_kind_the_term_is_zero() -> None:
    model = tiny_model()
    batch = tiny_batch(model)
    batch = replace(batch, image_labels=torch.zeros_like(batch.image_labels))
    term = KindContrast()(context_of(model, batch, KindContrast()))
    assert float(term.total.detach()) == float(term.count) == 0
