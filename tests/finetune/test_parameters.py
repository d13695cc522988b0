from __future__ import annotations

import pytest
import torch

from tiny import KINDS, tiny_model
from xlip.finetune.parameters import Anchor, between, copied, distance, layerwise_optimizer, trainable
from xlip.finetune.recipe import Recipe
from xlip.finetune.start import starting_classifier
from xlip.train.optim import OptimConfig, build_optimizer

MODEL = tiny_model().eval()


def start(recipe: Recipe):
    return starting_classifier(MODEL, KINDS, recipe, prompts="xlip", seed=0)


def test_rates_fall_with_the_distance_from_the_head() -> None:
    recipe = Recipe(lr=1.0, layer_decay=0.5)
    parameters = trainable(start(recipe), recipe)
    optimizer = layerwise_optimizer(parameters, recipe, 128)
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    rate = {name: rates[id(parameter)] for name, parameter in parameters.items()}
    assert rate["head.weight"] == rate["image_head.weight"] == rate["image_tower.encoder.layernorm.weight"] == 1.0
    assert rate["image_tower.encoder.layers.1.mlp.fc1.weight"] == 0.5
    assert rate["image_tower.encoder.layers.0.mlp.fc1.weight"] == 0.25
    assert rate["image_tower.encoder.embeddings.position_embeddings"] == 0.125


def test_from_scratch_every_layer_learns_alike() -> None:
    recipe = Recipe(lr=1.0, init="scratch", layer_decay=0.5)
    optimizer = layerwise_optimizer(trainable(start(recipe), recipe), recipe, 128)
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
    anchor, optimizer = Anchor(parameters, recipe), layerwise_optimizer(parameters, recipe, 128)
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


def test_pretraining_and_fine_tuning_pull_at_the_same_weights() -> None:
    model, recipe = start(Recipe()), Recipe()
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    anchored = {names[id(parameter)] for parameter, _ in Anchor(trainable(model, recipe), recipe).pairs}
    groups = build_optimizer(model, OptimConfig()).param_groups
    decayed = {names[id(parameter)] for group in groups if group["weight_decay"] for parameter in group["params"]}
    assert anchored == decayed
    assert "image_tower.encoder.layers.0.mlp.fc1.weight" in decayed
    assert not [name for name in decayed if name.endswith("bias") or "norm" in name or "position" in name]
    assert len(decayed) < len(names)


def test_between_is_a_straight_line() -> None:
    line = [between({"w": torch.zeros(2)}, {"w": torch.tensor([4.0, 8.0])}, share)["w"] for share in (0, 0.25, 1)]
    assert [point.tolist() for point in line] == [[0, 0], [1, 2], [4, 8]]
