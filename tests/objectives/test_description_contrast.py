from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from tiny import context_of, tiny_batch, tiny_model
from xlip.objectives.description_contrast import DescriptionContrast


def naive(image: np.ndarray, text: np.ndarray, meaning: list[int], scale: float) -> float:
    total = 0.0
    for left, right in ((image, text), (text, image)):
        logits = scale * left @ right.T
        for i, row in enumerate(logits):
            own = [j for j in range(len(row)) if meaning[j] == meaning[i]]
            total -= np.mean([row[j] - np.log(np.exp(row).sum()) for j in own]) / 2
    return total


def test_images_meet_the_descriptions_of_equal_meaning() -> None:
    model = tiny_model()
    batch = replace(tiny_batch(model, 2, 5, 0), meaning=torch.tensor([7, 0, 9, 7, 3]))
    context = context_of(model, batch, DescriptionContrast())
    term = DescriptionContrast()(context)
    rows = [0, 2, 3, 4]
    image = context.images.embedding.detach().numpy()[2:][rows]
    text = context.texts["descriptions"].embedding.detach().numpy()[rows]
    assert int(term.count) == 4
    wanted = naive(image, text, [7, 9, 7, 3], float(model.logit_scale_exp().detach()))
    assert float(term.total.detach()) == pytest.approx(wanted, rel=1e-4)


def test_nothing_stated_is_no_loss() -> None:
    model = tiny_model()
    batch = tiny_batch(model, 2, 3, 0)
    context = context_of(model, replace(batch, meaning=torch.zeros(3, dtype=torch.long)), DescriptionContrast())
    assert int(DescriptionContrast()(context).count) == 0
