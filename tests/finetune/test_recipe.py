from __future__ import annotations

from typing import Any

import pytest

from xlip.errors import XLIPError
from xlip.finetune.recipe import Recipe


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "half"}, "recipe.mode: expected one of full, probe, lora; got 'half'"),
        ({"init": "zero"}, "recipe.init: expected one of model, scratch"),
        ({"head": "text"}, "recipe.head: expected one of prompts, random"),
        ({"loss": "mse"}, "recipe.loss: expected one of bce, weighted, focal, asymmetric"),
        ({"epochs": 0}, "recipe.epochs: expected at least 1, got 0"),
        ({"layer_decay": 1.5}, "recipe.layer_decay: expected above 0 and at most 1, got 1.5"),
        ({"patch_keep": 1.5}, "recipe.patch_keep: expected 0 = by depth, or a share up to 1; got 1.5"),
        ({"init": "scratch", "mode": "probe"}, "from scratch every weight has to be trained; mode probe cannot"),
    ],
)
def test_a_wrong_choice_is_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(XLIPError, match=message):
        Recipe(**options)


def test_the_number_of_steps_follows_the_images_within_its_bounds() -> None:
    recipe = Recipe(epochs=10, batch_size=20, least_steps=30, most_steps=100)
    assert [recipe.updates(images) for images in (4, 59, 100, 200, 10_000)] == [30, 30, 50, 100, 100]
    assert Recipe(epochs=3, least_steps=1).updates(4) == 3


def test_the_rate_depends_on_where_training_starts() -> None:
    assert Recipe().rate(32) == Recipe().rate(128) == Recipe(init="scratch").rate(768) == 1e-3
    assert Recipe().rate(768) == pytest.approx(Recipe().rate(384) / 2)
    assert Recipe(lr=0.5, init="scratch").rate(128) == Recipe(lr=0.5).rate(768) == 0.5
    assert Recipe().from_zero_shot
    assert not Recipe(head="random").from_zero_shot
    assert not Recipe(init="scratch").from_zero_shot


def test_deep_towers_see_fewer_patches_unless_told() -> None:
    assert [Recipe().patches(depth) for depth in (2, 6, 7, 12)] == [1, 1, 0.7, 0.7]
    assert Recipe(patch_keep=0.5).patches(2) == Recipe(patch_keep=0.5).patches(12) == 0.5
    assert Recipe(patch_keep=1).patches(12) == 1
