from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from tiny import context_of, tiny_batch, tiny_model
from xlip.objectives.attributes import ImageAttributes
from xlip.study.attributes import attributes


def naive(images: np.ndarray, texts: np.ndarray, targets: np.ndarray, scale: float) -> tuple[float, float]:
    """Cross-entropy among the values of each attribute that the header states, with loops."""
    total, known = 0.0, 0.0
    for image, target in zip(images, targets, strict=True):
        first = 0
        for one in attributes():
            columns = range(first, first + len(one.values))
            first += len(one.values)
            if not any(target[column] for column in columns):
                continue
            known += 1
            exponents = {column: np.exp(scale * image @ texts[column]) for column in columns}
            total -= sum(target[c] * np.log(exponents[c] / sum(exponents.values())) for c in columns)
    return total, known


def test_it_equals_the_naive_loop_and_leaves_out_what_the_header_does_not_say() -> None:
    model = tiny_model().eval()
    batch = tiny_batch(model)
    context = context_of(model, batch, ImageAttributes())
    term = ImageAttributes()(context)
    parts = (context.images.embedding, context.texts["attributes"].embedding, batch.attributes)
    total, known = naive(*(part.detach().double().numpy() for part in parts), float(model.logit_scale_exp().detach()))
    assert float(term.total.detach()) == pytest.approx(total, rel=1e-4)
    assert float(term.count) == pytest.approx(known)
    assert known < 3 * len(batch.pixels)


def test_labels_do_not_matter_and_gradients_reach_both_towers() -> None:
    model = tiny_model()
    batch = tiny_batch(model)
    blank = replace(batch, image_labels=torch.full_like(batch.image_labels, -1), pairs=0)
    terms = [ImageAttributes()(context_of(model, one, ImageAttributes())) for one in (batch, blank)]
    assert float(terms[0].total.detach()) == float(terms[1].total.detach())
    terms[0].total.backward()
    for tower in (model.image_tower, model.text_tower):
        assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in tower.parameters())


def test_headers_that_say_nothing_cost_nothing() -> None:
    model = tiny_model()
    batch = tiny_batch(model)
    term = ImageAttributes()(
        context_of(model, replace(batch, attributes=torch.zeros_like(batch.attributes)), ImageAttributes())
    )
    assert float(term.total.detach()) == float(term.count) == 0
