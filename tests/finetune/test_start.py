from __future__ import annotations

import numpy as np
import pytest
import torch

from tiny import KINDS, tiny_model
from xlip.batches.pixels import as_pixels
from xlip.evaluate.zeroshot import text_classifier
from xlip.finetune.recipe import Recipe
from xlip.finetune.start import fit_bias, starting_classifier
from xlip.phantom import generate
from xlip.runtime.scores import kind_scores
from xlip.study.prompts import load_prompts

MODEL = tiny_model().eval()
PIXELS = np.stack([generate(index, size=64).pixels for index in range(6)])


def test_the_prompt_head_starts_as_the_zero_shot_classifier() -> None:
    start = starting_classifier(MODEL, KINDS, Recipe(), prompts="xlip", seed=0)
    texts = text_classifier(MODEL, load_prompts("xlip"), KINDS)
    embedding = MODEL.encode_pixels(as_pixels(PIXELS))
    expected = kind_scores(embedding.numpy(), texts.numpy(), MODEL.logit_scale_exp().item())
    assert np.allclose(start.predict_pixels(PIXELS), expected, atol=1e-6)
    assert np.ptp(expected, axis=0).min() > 0


def test_a_random_head_differs_by_seed_and_keeps_the_tower() -> None:
    first, second = (starting_classifier(MODEL, KINDS, Recipe(head="random"), prompts="xlip", seed=s) for s in (0, 1))
    assert not torch.equal(first.head.weight, second.head.weight)
    own = MODEL.image_tower.state_dict()
    assert all(torch.equal(tensor, own[name]) for name, tensor in first.image_tower.state_dict().items())


def test_from_scratch_nothing_of_the_checkpoint_is_left() -> None:
    # Another seed than the checkpoint's own, which nobody has trained.
    made = starting_classifier(MODEL, KINDS, Recipe(init="scratch"), prompts="xlip", seed=1)
    own = MODEL.image_tower.state_dict()
    matrices = {name: tensor for name, tensor in made.image_tower.state_dict().items() if tensor.ndim == 2}
    assert matrices
    assert all(not torch.equal(tensor, own[name]) for name, tensor in matrices.items())
    assert not torch.equal(made.image_head.weight, MODEL.image_head.weight)
    again = starting_classifier(MODEL, KINDS, Recipe(init="scratch"), prompts="xlip", seed=1)
    assert torch.equal(again.head.weight, made.head.weight)


@pytest.mark.parametrize("recipe", [Recipe(), Recipe(head="random"), Recipe(init="scratch")])
def test_training_leaves_the_checkpoint_alone(recipe: Recipe) -> None:
    made = starting_classifier(MODEL, KINDS, recipe, prompts="xlip", seed=0)
    before = {name: tensor.clone() for name, tensor in MODEL.state_dict().items()}
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(1.0)
    assert all(torch.equal(tensor, before[name]) for name, tensor in MODEL.state_dict().items())


def test_the_first_bias_meets_the_share_of_every_kind_and_keeps_ranks() -> None:
    logits = torch.randn(200, 3, generator=torch.Generator().manual_seed(0)) * 2 + 4
    targets = torch.zeros(200, 3, dtype=torch.int8)
    targets[:10, 0] = 1
    targets[:150, 1] = 1
    targets[:20, 1] = -1
    bias = fit_bias(logits, targets)
    probability = torch.sigmoid(logits + bias)
    assert probability[:, 0].mean().item() == pytest.approx(0.05, abs=1e-4)
    assert probability[20:, 1].mean().item() == pytest.approx(130 / 180, abs=1e-4)
    assert bias[2] == 0
