from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from tiny import tiny_model
from xlip.batches.augmentation import Augment
from xlip.errors import XLIPError
from xlip.finetune.fit import Fitted, Part, fit
from xlip.finetune.recipe import LOSSES, Recipe
from xlip.finetune.start import starting_classifier
from xlip.metrics.auroc import mean_auroc
from xlip.models.towers import Encoded, ImageTower
from xlip.models.xlip import XLIPModel

KINDS = ("Effusion", "Cardiomegaly")
MODEL = tiny_model().eval()


def squares(count: int, seed: int) -> Part:
    """Noise with a bright lower third (the first kind) and a dark middle (the second); easy to learn."""
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, 2, (count, 2)).astype(np.int8)
    pixels = rng.integers(60, 160, (count, 64, 64))
    pixels[:, 44:] += 80 * targets[:, :1, None]
    pixels[:, 20:40, 20:40] -= 60 * targets[:, 1:, None]
    return Part(pixels.astype(np.uint8), targets)


TRAIN, VALIDATION = squares(48, 0), squares(40, 1)
QUICK = Recipe(least_steps=30, most_steps=30, batch_size=16, lr=2e-3, checks=5)


def train(
    recipe: Recipe, part: Part = TRAIN, validation: Part | None = VALIDATION, model: XLIPModel = MODEL, **options
) -> Fitted:
    start = starting_classifier(model, KINDS, recipe, prompts="xlip", seed=0)
    return fit(start, part, validation, recipe, seed=0, precision="fp32", **options)


@pytest.mark.parametrize("init", ["model", "scratch"])
def test_an_easy_task_is_learnt(init: str) -> None:
    fitted = train(replace(QUICK, init=init, least_steps=80, most_steps=80), squares(160, 0))
    assert fitted.validation_auroc is not None
    assert fitted.validation_auroc > 0.9
    scores = fitted.classifier.predict_pixels(squares(40, 2).pixels)
    assert mean_auroc(squares(40, 2).targets, scores) > 0.9


@pytest.mark.parametrize("mode", ["full", "lora"])
def test_a_step_sees_the_share_of_the_patches_that_is_kept(monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    seen: list[torch.Tensor] = []
    whole = ImageTower.visible

    def visible(self: ImageTower, pixels: torch.Tensor, hidden: torch.Tensor) -> Encoded:
        seen.append(hidden)
        return whole(self, pixels, hidden)

    monkeypatch.setattr(ImageTower, "visible", visible)
    fitted = train(replace(QUICK, mode=mode, patch_keep=0.75, least_steps=3, most_steps=3))
    patches = fitted.classifier.image_tower.grid**2
    assert [hidden.shape for hidden in seen] == [(16, patches)] * 3
    assert all((hidden.sum(1) == round(patches / 4)).all() for hidden in seen)
    assert len({tuple(row.tolist()) for hidden in seen for row in hidden}) > 16  # drawn anew


def test_an_easy_task_is_learnt_from_three_quarters_of_the_patches() -> None:
    fitted = train(replace(QUICK, patch_keep=0.75, least_steps=80, most_steps=80), squares(160, 0))
    assert mean_auroc(squares(40, 2).targets, fitted.classifier.predict_pixels(squares(40, 2).pixels)) > 0.9


def test_what_is_kept_is_what_was_validated() -> None:
    fitted = train(QUICK)
    scores = fitted.classifier.predict_pixels(VALIDATION.pixels)
    assert mean_auroc(VALIDATION.targets, scores) == pytest.approx(fitted.validation_auroc)
    checked = [entry["validation_auroc"] for entry in fitted.curve]
    assert fitted.validation_auroc >= max(checked)
    assert not fitted.classifier.training


def test_training_that_only_harms_ends_early_where_it_started() -> None:
    start = starting_classifier(MODEL, KINDS, QUICK, prompts="xlip", seed=0)
    before = start.predict_pixels(VALIDATION.pixels)
    # Labels that the start itself gives: nothing can be better than its scores.
    perfect = Part(VALIDATION.pixels, (before > np.median(before, axis=0)).astype(np.int8))
    wrong = Part(VALIDATION.pixels, 1 - perfect.targets)
    fitted = train(replace(QUICK, patience=2), wrong, perfect)
    assert (fitted.step, fitted.share, fitted.validation_auroc) == (0, 0.0, 1.0)
    assert len(fitted.curve) == 1 + 1 + 2  # the start, the best check, and two that are worse
    after = fitted.classifier.predict_pixels(VALIDATION.pixels)
    assert (np.argsort(after, axis=0) == np.argsort(before, axis=0)).all()


def test_the_kept_point_may_lie_between_start_and_end() -> None:
    recipe = replace(QUICK, lr=0.05, least_steps=6, most_steps=6, checks=1, patience=0)
    ends, between = train(replace(recipe, interpolate=False)), train(recipe)
    assert ends.share == 1.0
    assert between.validation_auroc >= ends.validation_auroc
    assert ends.curve[0] == {"step": 0.0, "validation_auroc": pytest.approx(between.curve[0]["validation_auroc"])}
    random_head = train(replace(recipe, head="random"))
    assert random_head.share == 1.0
    assert random_head.curve[0]["step"] > 0


def test_a_small_step_is_taken_where_a_large_one_harms() -> None:
    recipe = replace(QUICK, lr=1.0, least_steps=3, most_steps=3, checks=1)
    fitted = train(recipe, model=tiny_model(3).eval())  # one that such a rate harms
    start, end = (one["validation_auroc"] for one in fitted.curve)
    assert end < start  # such a rate destroys the tower
    assert fitted.validation_auroc >= start
    assert fitted.share < 1


def test_a_probe_trains_the_head_alone() -> None:
    fitted = train(replace(QUICK, mode="probe", least_steps=200, most_steps=200, lr=0.02))
    tower = MODEL.image_tower.state_dict()
    assert all(torch.equal(t, tower[name]) for name, t in fitted.classifier.image_tower.state_dict().items())
    assert fitted.step > 0
    assert fitted.validation_auroc > fitted.curve[0]["validation_auroc"]


def test_adapters_leave_a_plain_classifier() -> None:
    pytest.importorskip("peft", reason="the extra lora is not installed")
    fitted = train(replace(QUICK, mode="lora", lr=0.01))
    start = starting_classifier(MODEL, KINDS, QUICK, prompts="xlip", seed=0)
    assert set(fitted.classifier.state_dict()) == set(start.state_dict())
    assert all(parameter.requires_grad for parameter in fitted.classifier.parameters())
    assert fitted.step > 0


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_trains_with_augmentation_and_balance(loss: str) -> None:
    fitted = train(replace(QUICK, loss=loss, balanced=True, least_steps=4, most_steps=4), augment=Augment())
    assert all(np.isfinite(entry["loss"]) for entry in fitted.curve[1:])


def test_the_same_seed_gives_the_same_weights() -> None:
    first, second = (
        train(replace(QUICK, least_steps=5, most_steps=5), augment=Augment()).classifier.state_dict() for _ in range(2)
    )
    assert all(torch.equal(tensor, second[name]) for name, tensor in first.items())


def test_a_kind_of_one_class_keeps_its_head_and_is_named() -> None:
    one = Part(TRAIN.pixels, TRAIN.targets.copy())
    one.targets[:, 1] = 0
    fitted = train(QUICK, one, None)
    start = starting_classifier(MODEL, KINDS, QUICK, prompts="xlip", seed=0)
    assert fitted.untrained == ("Cardiomegaly",)
    assert torch.equal(fitted.classifier.head.weight[1], start.head.weight[1])
    assert not torch.equal(fitted.classifier.head.weight[0], start.head.weight[0])
    assert fitted.step == QUICK.most_steps
    assert fitted.validation_auroc is None


def test_nothing_to_learn_and_a_broken_loss_are_refused() -> None:
    with pytest.raises(XLIPError, match="none of Effusion, Cardiomegaly is both present and absent in the 48 training"):
        train(QUICK, Part(TRAIN.pixels, np.ones_like(TRAIN.targets)))
    with pytest.raises(XLIPError, match=r"the loss is (nan|inf); lower --recipe.lr"):
        train(replace(QUICK, lr=1e30, clip=1e30))


def test_the_validation_figure_leaves_out_kinds_of_one_class() -> None:
    targets = np.array([[1, 1, 0], [0, 1, 1], [-1, 1, 0]])
    scores = np.array([[0.9, 0.1, 0.8], [0.1, 0.2, 0.7], [0.5, 0.3, 0.1]])
    assert mean_auroc(targets, scores) == pytest.approx((1.0 + 0.5) / 2)
    assert np.isnan(mean_auroc(targets[:, 1:2], scores[:, 1:2]))
    with pytest.raises(XLIPError, match="not finite"):
        mean_auroc(targets, np.full((3, 3), np.nan))
