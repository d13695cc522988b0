from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from tiny import context_of, tiny_batch, tiny_model
from xlip.batches.draws import row_draws
from xlip.objectives import view_contrast
from xlip.objectives.view_contrast import SECOND_VIEW, ViewContrast


def naive(first: np.ndarray, second: np.ndarray, temperature: float) -> float:
    """Mean over both directions of the cross-entropy of finding an image's own other view, with loops."""
    total = 0.0
    for queries, candidates in ((first, second), (second, first)):
        for row, query in enumerate(queries):
            exponents = [np.exp(query @ candidate / temperature) for candidate in candidates]
            total -= np.log(exponents[row] / sum(exponents))
    return total / 2


def test_it_equals_the_naive_loop_over_the_views_it_draws() -> None:
    model = tiny_model().eval()
    batch, objective = tiny_batch(model), ViewContrast(temperature=0.3)
    context = context_of(model, batch, objective)
    term = objective(context)
    again = row_draws(batch.image_seeds, objective.name)
    second = model.images(SECOND_VIEW(batch.pixels, again)).embedding.detach().double().numpy()
    first = context.images.embedding.detach().double().numpy()
    assert float(term.total.detach()) == pytest.approx(naive(first, second, 0.3), rel=1e-4)
    assert int(term.count) == len(batch.pixels) == 7


def test_equal_views_of_unlike_images_cost_little_and_strange_views_much(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model().eval()
    batch, found = tiny_batch(model), []
    for view in (lambda pixels, generator: pixels, lambda pixels, generator: pixels.roll(1, 0)):
        monkeypatch.setattr(view_contrast, "SECOND_VIEW", view)
        context = context_of(model, batch, ViewContrast())
        found.append(float(ViewContrast(temperature=1e-3)(context).total.detach()))
    assert found[0] < 1 < found[1]


def test_labels_and_reports_do_not_matter_and_gradients_reach_the_tower() -> None:
    model = tiny_model()
    batch = tiny_batch(model)
    blank = replace(batch, image_labels=torch.full_like(batch.image_labels, -1), pairs=0)
    terms = [ViewContrast()(context_of(model, one, ViewContrast())) for one in (batch, blank)]
    assert float(terms[0].total.detach()) == float(terms[1].total.detach())
    terms[0].total.backward()
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in model.image_tower.parameters())
    assert all(p.grad is None for p in model.text_tower.parameters())


def test_without_images_the_term_is_zero() -> None:
    model = tiny_model()
    term = ViewContrast()(context_of(model, tiny_batch(model, 0, 0, 3), ViewContrast()))
    assert float(term.total.detach()) == float(term.count) == 0
