"""`smooth` against loops over places, on its own and through its gradient."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tiny import CONFIG, tiny_processor
from xlip.models.smoothing import smooth
from xlip.train.build import build_model


def naive(image: np.ndarray, weights: list[float]) -> np.ndarray:
    """Each place's weighted mean, place by place; the border repeats the outermost row and column."""
    reach, (height, width) = len(weights) // 2, image.shape
    found = np.zeros((height, width))
    for row in range(height):
        for column in range(width):
            for i, down in enumerate(weights):
                for j, right in enumerate(weights):
                    y = min(max(row + i - reach, 0), height - 1)
                    x = min(max(column + j - reach, 0), width - 1)
                    found[row, column] += down * right * image[y, x] / sum(weights) ** 2
    return found


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 7),
    st.integers(1, 7),
    st.lists(st.floats(0.1, 3), min_size=1, max_size=7).filter(lambda found: len(found) % 2 == 1),
    st.integers(0, 2**16),
)
def test_it_is_the_weighted_mean_of_the_neighbourhood(height: int, width: int, weights: list[float], seed: int) -> None:
    image = np.random.default_rng(seed).normal(size=(2, 3, height, width))
    found = smooth(torch.from_numpy(image), weights).numpy()
    for one, two in np.ndindex(2, 3):
        np.testing.assert_allclose(found[one, two], naive(image[one, two], weights), rtol=1e-6, atol=1e-9)


def test_half_precision_around_it_does_not_reach_it() -> None:
    maps = torch.rand(2, 9, 9)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = smooth(maps, (1.0, 2.0, 1.0))
    assert found.dtype == torch.float32
    assert found.numpy() == pytest.approx(smooth(maps, (1.0, 2.0, 1.0)).numpy(), abs=1e-6)


@pytest.mark.parametrize("stem", ["conv", "curved"])
def test_a_dry_run_on_the_meta_device_knows_no_half_precision(stem: str) -> None:
    model = build_model(replace(CONFIG, stem=stem), tiny_processor(), 0).to("meta")
    pixels = torch.zeros(2, 1, 64, 64, device="meta")
    assert model.image_tower(pixels).tokens.device.type == "meta"
    assert model.local is not None
    queries = torch.zeros(3, model.local.query.weight.shape[0], device="meta")
    assert model.local.maps(model.local(pixels), queries).device.type == "meta"
