from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tiny import CONFIG, tiny_processor
from xlip.models.local import BINOMIAL, START_SCALE, LocalHead, cells, pooled_places, spread, whole
from xlip.train.build import build_model


def head(stages: int = 2) -> LocalHead:
    torch.manual_seed(0)
    return LocalHead(8, stages)


@pytest.mark.parametrize("stem", ["patch", "conv"])
@pytest.mark.parametrize(("patch", "field"), [(8, 19), (16, 43)])
def test_a_place_sees_its_neighbourhood_and_nothing_else(patch: int, field: int, stem: str) -> None:
    model = build_model(replace(CONFIG, image_size=96, patch_size=patch, stem=stem), tiny_processor(), 0).eval()
    pixels = torch.rand(1, 1, 96, 96)
    changed = pixels.clone()
    changed[0, 0, 48, 48] += 1.0
    one, two = model.images(pixels), model.images(changed)
    assert torch.allclose(one.places, model.places(pixels), atol=1e-6)
    moved = (one.places - two.places).abs().amax(-1)[0] > 1e-6
    rows = moved.any(1).nonzero().flatten() * patch // 2
    assert moved.any()
    assert int((rows - 48).abs().max()) <= field // 2 + patch // 2
    assert not torch.allclose(one.tokens[0, 0], two.tokens[0, 0], atol=1e-6)


def test_the_tower_knows_nothing_of_the_local_head() -> None:
    pixels = torch.rand(2, 1, 64, 64)
    models = [build_model(replace(CONFIG, stem="conv", local=local), tiny_processor(), 0).eval() for local in (0, 1)]
    models[1].image_tower.load_state_dict(models[0].image_tower.state_dict())
    assert torch.equal(*(one.image_tower(pixels).tokens for one in models))


@pytest.mark.parametrize("stem", ["patch", "conv"])
def test_places_are_unit_vectors_and_no_image_is_fine(stem: str) -> None:
    model = build_model(replace(CONFIG, stem=stem), tiny_processor(), 0).eval()
    assert torch.allclose(model.places(torch.rand(2, 1, 64, 64)).norm(dim=-1), torch.ones(2, 8, 8), atol=1e-5)
    assert model.images(torch.rand(0, 1, 64, 64)).places.shape == (0, 8, 8, 16)
    assert model.places(torch.rand(0, 1, 64, 64)).shape == (0, 8, 8, 16)


def test_answers_are_scaled_cosines_with_the_texts_as_the_head_reads_them() -> None:
    model = head()
    model.bias.data.fill_(0.5)
    places, queries = model(torch.rand(2, 1, 32, 32)).detach(), torch.randn(3, 8)
    made = model.answers(places, queries)
    read = (model.query.weight @ queries[2]).detach().numpy()
    wanted = START_SCALE * places[1, 3, 4].numpy() @ (read / np.linalg.norm(read)) + 0.5
    assert float(made[1, 2, 3, 4].detach()) == pytest.approx(float(wanted), rel=1e-4)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.sampled_from([2, 4]))
def test_pooling_is_log_mean_exp(seed: int, grid: int) -> None:
    answers = torch.tensor(np.random.default_rng(seed).normal(size=(2, 3, 8, 8)) * 3)
    side = 8 // grid
    made = cells(answers, grid)
    for b, k, i, j in np.ndindex(2, 3, grid, grid):
        tile = answers[b, k, i * side : (i + 1) * side, j * side : (j + 1) * side].numpy()
        assert float(made[b, k, i, j]) == pytest.approx(math.log(np.exp(tile).mean()), abs=1e-9)
    assert float(whole(answers)[1, 2]) == pytest.approx(math.log(np.exp(answers[1, 2].numpy()).mean()), abs=1e-9)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000))
def test_spread_is_the_log_of_a_binomial_mean_and_keeps_what_training_goes_by(seed: int) -> None:
    answers = torch.tensor(np.random.default_rng(seed).normal(size=(2, 3, 7, 8)) * 3)
    made = spread(answers).numpy()
    weights = np.array(BINOMIAL) / sum(BINOMIAL)
    for b, k in np.ndindex(2, 3):
        odds = np.pad(np.exp(answers[b, k].numpy()), 2, mode="edge")
        for i, j in np.ndindex(7, 8):
            mean = sum(weights[u] * weights[v] * odds[i + u, j + v] for u, v in np.ndindex(5, 5))
            assert made[b, k, i, j] == pytest.approx(math.log(mean), abs=1e-6)
    inner = torch.full((1, 1, 12, 12), -20.0).double()
    inner[0, 0, 4:8, 5:7] = torch.randn(4, 2).double()
    assert float(whole(spread(inner))) == pytest.approx(float(whole(inner)), abs=1e-4)


def test_places_that_do_not_divide_into_the_grid_keep_their_order() -> None:
    answers = torch.zeros(1, 1, 6, 6)
    answers[0, 0, :, 4:] = 5.0
    made = cells(answers, 4)[0, 0]
    assert made.shape == (4, 4)
    assert bool((made[:, 3] > made[:, 0]).all())


def test_pooled_places_go_row_by_row() -> None:
    places = torch.zeros(1, 4, 4, 2)
    places[0, :2, 2:, 0] = 1.0
    assert pooled_places(places, 2)[0, :, 0].tolist() == [0.0, 1.0, 0.0, 0.0]
