from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from tiny import CONFIG, context_of, tiny_batch, tiny_model, tiny_processor
from xlip.errors import XLIPError
from xlip.models.local import cells
from xlip.objectives.local_kind import LocalKind
from xlip.objectives.objective import mean_over_ranks
from xlip.objectives.response import kind_maps, kind_response
from xlip.train.build import build_model


def test_the_loss_equals_the_naive_loop() -> None:
    model = tiny_model()
    batch = tiny_batch(model, 2, 2, 1)
    labels = torch.tensor([[1, 0, -1, 0], [0, 0, 0, 1], [-1, -1, -1, -1], [1, 1, 0, 0]], dtype=torch.int8)
    context = context_of(model, replace(batch, image_labels=labels), LocalKind())
    error, contrast = LocalKind()(context)
    places = context.images.places.detach().double().numpy()
    prompts = context.texts["prompts"].embedding.detach().double().numpy()
    head = model.local
    scale, bias = float(head.log_scale.detach().exp()), float(head.bias.detach())
    asked = prompts @ head.query.weight.detach().double().numpy().T
    asked /= np.linalg.norm(asked, axis=1, keepdims=True)
    errors, contrasts = [], []
    for i, row in enumerate(labels.tolist()):
        flat = places[i].reshape(-1, places.shape[-1])
        for_ = [math.log(np.mean([math.exp(scale * float(p @ asked[k]) + bias) for p in flat])) for k in range(4)]
        for k, state in enumerate(row):
            if state >= 0:
                p = 1 / (1 + math.exp(-for_[k]))
                errors.append(-math.log(p if state else 1 - p))
        present = [k for k in range(4) if row[k] == 1]
        absent = sum(math.exp(for_[k]) for k in range(4) if row[k] == 0)
        if present:
            contrasts.append(np.mean([-math.log(math.exp(for_[k]) / (math.exp(for_[k]) + absent)) for k in present]))
    assert (int(error.count), int(contrast.count)) == (len(errors), len(contrasts))
    assert float(error.total.detach()) == pytest.approx(np.sum(errors), rel=1e-4)
    assert float(contrast.total.detach()) == pytest.approx(np.sum(contrasts), rel=1e-4)
    mean = mean_over_ranks((error, contrast))
    assert float(mean.detach()) == pytest.approx(np.mean(errors) + np.mean(contrasts), rel=1e-4)


@pytest.mark.parametrize("stem", ["patch", "conv"])
def test_it_teaches_the_local_stem_and_the_words_and_leaves_the_tower_alone(stem: str) -> None:
    model = build_model(replace(CONFIG, stem=stem), tiny_processor(), 0)
    context = context_of(model, tiny_batch(model), LocalKind())
    mean_over_ranks(LocalKind()(context)).backward()
    reached = {name for name, p in model.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    assert "text_tower.encoder.embeddings.word_embeddings.weight" in reached
    assert "local.head.1.weight" in reached
    assert "local.query.weight" in reached
    assert not any(name.startswith("image_tower") for name in reached)


def test_a_model_without_a_local_stem_is_told_what_to_set() -> None:
    model = build_model(replace(CONFIG, local=False), tiny_processor(), 0)
    with pytest.raises(XLIPError, match=r"model\.local"):
        LocalKind()(context_of(model, tiny_batch(model), LocalKind()))


def test_no_label_is_no_loss() -> None:
    model = tiny_model()
    batch = tiny_batch(model)
    unknown = replace(batch, image_labels=torch.full_like(batch.image_labels, -1))
    for term in LocalKind()(context_of(model, unknown, LocalKind())):
        assert int(term.count) == 0
        assert float(term.total.detach()) == 0


def test_maps_come_from_the_local_stem_and_else_from_the_tokens() -> None:
    model = tiny_model().eval()
    pixels, prompts = torch.rand(2, 1, 64, 64), torch.randn(6, 16)
    positive, negative = prompts.chunk(2)
    images = model.images(pixels)
    made = kind_maps(model, images, positive, negative)
    assert torch.allclose(made, cells(model.local.maps(images.places, positive), 4))
    old = kind_maps(model, replace(images, places=None), positive, negative)
    unit = torch.nn.functional.normalize(model.image_head(images.tokens), dim=-1)
    wanted = float((model.logit_scale_exp() * unit[1, 6] @ (positive - negative)[2]).detach())
    assert float(old[1, 2, 1, 2].detach()) == pytest.approx(wanted, rel=1e-4)


def test_the_response_follows_the_kinds_that_are_present() -> None:
    maps = torch.zeros(1, 2, 2, 2)
    maps[0, 0, 0, 0] = maps[0, 1, 1, 1] = 9.0
    for presence, hottest in (([1.0, 0.0], 0), ([0.0, 1.0], 3)):
        made = kind_response(maps, torch.tensor([presence]))
        assert int(made.argmax()) == hottest
        assert float(made.sum()) == pytest.approx(1.0)
