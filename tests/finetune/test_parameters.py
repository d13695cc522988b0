from __future__ import annotations

import pytest
import torch

from tiny import KINDS, tiny_model
from xlip.finetune.parameters import Anchor, between, build_optimizer, copied, distance, trainable
from xlip.finetune.recipe import Recipe
from xlip.finetune.start import starting_classifier

MODEL = tiny_model().eval()


def start(recipe: Recipe):
    return starting_classifier(MODEL, KINDS, recipe, prompts="xlip", seed=0)


def test_rates_fall_with_the_distance_from_the_head() -> None:
    recipe = Recipe(lr=1.0, layer_decay=0.5)
    parameters = trainable(start(recipe), recipe)
    optimizer = build_optimizer(parameters, recipe)
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    rate = {name: rates[id(parameter)] for name, parameter in parameters.items()}
    assert rate["head.weight"] == rate["image_head.weight"] == rate["image_tower.encoder.layernorm.weight"] == 1.0
    assert rate["image_tower.encoder.layers.1.mlp.fc1.weight"] == 0.5
    assert rate["image_tower.encoder.layers.0.mlp.fc1.weight"] == 0.25
    assert rate["image_tower.encoder.embeddings.position_embeddings"] == 0.125


def test_from_scratch_every_layer_learns_alike() -> None:
    recipe = Recipe(lr=1.0, init="scratch")
    optimizer = build_optimizer(trainable(start(recipe), recipe), recipe)
    assert {group["lr"] for group in optimizer.param_groups} == {1.0}


@pytest.mark.parametrize(("mode", "trained"), [("probe", {"head.weight", "head.bias"}), ("full", None)])
def test_only_what_the_mode_names_is_trained(mode: str, trained: set[str] | None) -> None:
    recipe = Recipe(mode=mode)
    model = start(recipe)
    everything = {name for name, _ in model.named_parameters()}
    assert set(trainable(model, recipe)) == (trained or everything)


def test_names_of_older_transformers_and_of_adapters_are_understood() -> None:
    assert distance("image_tower.encoder.encoder.layer.3.output.dense.weight", 12) == 9
    assert distance("image_tower.base_model.model.encoder.layers.11.attention.q_proj.lora_A.default.weight", 12) == 1
    assert distance("head.bias", 12) == 0


@pytest.mark.parametrize("init", ["model", "scratch"])
def test_the_anchor_pulls_matrices_to_where_they_started(init: str) -> None:
    recipe = Recipe(init=init, lr=0.1, layer_decay=1.0, weight_decay=0.5)
    model = start(recipe)
    parameters = trainable(model, recipe)
    first = copied(model)
    anchor, optimizer = Anchor(parameters, recipe), build_optimizer(parameters, recipe)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1.0)
    moved = copied(model)
    anchor.pull(optimizer)
    name = "image_tower.encoder.layers.0.mlp.fc1.weight"
    goal = first[name] if init == "model" else torch.zeros_like(first[name])
    assert torch.allclose(model.state_dict()[name], moved[name] + 0.05 * (goal - moved[name]))
    for free in ("head.bias", "image_tower.encoder.embeddings.position_embeddings"):
        assert torch.equal(model.state_dict()[free], moved[free])


def test_between_is_a_straight_line() -> None:
    line = [between({"w": torch.zeros(2)}, {"w": torch.tensor([4.0, 8.0])}, share)["w"] for share in (0, 0.25, 1)]
    assert [point.tolist() for point in line] == [[0, 0], [1, 2], [4, 8]]
