"""What the stems see beside the pixels: how the image curves."""

from __future__ import annotations

import math

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from xlip.models.curvature import CHANNELS, SCALES, UNIT, curvature
from xlip.models.stem import ConvStem


def naive(image: np.ndarray, scale: float) -> np.ndarray:
    """Eigenvalues of the Hessian of one halved, smoothed image, pixel by pixel, (2, h, w)."""
    halved = image.reshape(image.shape[0] // 2, 2, image.shape[1] // 2, 2).mean((1, 3))
    reach = math.ceil(3 * scale)
    offsets = range(-reach, reach + 1)
    weights = np.array([math.exp(-(i**2) / (2 * scale**2)) for i in offsets])
    weights /= weights.sum()
    padded = np.pad(halved, reach, mode="edge")
    smooth = np.zeros_like(halved)
    for i, row in zip(offsets, weights, strict=True):
        for j, column in zip(offsets, weights, strict=True):
            moved = padded[reach + i : reach + i + len(halved), reach + j : reach + j + halved.shape[1]]
            smooth += row * column * moved
    edge = np.pad(smooth, 1, mode="edge")
    made = np.zeros((2, *halved.shape))
    for y in range(halved.shape[0]):
        for x in range(halved.shape[1]):
            near = edge[y : y + 3, x : x + 3]
            xx, yy = near[1, 2] + near[1, 0] - 2 * near[1, 1], near[2, 1] + near[0, 1] - 2 * near[1, 1]
            xy = (near[2, 2] + near[0, 0] - near[2, 0] - near[0, 2]) / 4
            made[:, y, x] = np.linalg.eigvalsh([[xx, xy], [xy, yy]])[::-1]
    return made * scale**2 / UNIT


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6))
def test_it_is_the_hessian_of_the_smoothed_image(seed: int) -> None:
    image = np.random.default_rng(seed).normal(size=(16, 24))
    made = curvature(torch.from_numpy(image).float()[None, None])[0].numpy()
    assert made.shape == (CHANNELS, 16, 24)
    wanted = np.concatenate([naive(image, scale) for scale in SCALES])
    assert np.allclose(made[:, ::2, ::2], wanted, rtol=1e-3, atol=1e-3)
    assert np.array_equal(made[:, ::2, ::2], made[:, 1::2, 1::2])


def test_a_spot_curves_down_both_ways_and_a_line_one_way() -> None:
    y, x = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    spot = torch.exp(-((x - 32) ** 2 + (y - 32) ** 2) / 18)
    for line in (torch.exp(-((x - 32) ** 2) / 18), torch.exp(-((x + y - 64) ** 2) / 36)):
        both = curvature(torch.stack([spot, line])[:, None])[:, :, 16:48, 16:48]
        larger, smaller = both[:, ::2].amin((2, 3)), both[:, 1::2].amin((2, 3))
        assert (larger[0] < -1.5).all()
        assert (larger[1] > -0.2).all()
        assert (smaller < -1.5).all()


def test_brightness_does_not_matter_and_no_gradient_comes_back() -> None:
    image = torch.rand(1, 1, 32, 32, requires_grad=True)
    made = curvature(image)
    assert not made.requires_grad
    assert torch.allclose(made, curvature(image + 0.3), atol=1e-3)


def test_a_curved_stem_sees_it_beside_the_pixels() -> None:
    torch.manual_seed(0)
    stem, images = ConvStem(24, 8, curved=True), torch.rand(2, 1, 32, 32)
    first = stem[0].weight
    assert first.shape[1] == 1 + CHANNELS
    before = stem(images)
    assert before.shape == (2, 24, 4, 4)
    with torch.no_grad():
        first[:, 1:] *= -1
    assert not torch.allclose(stem(images), before, atol=1e-3)
    assert stem.to(torch.bfloat16)(images.bfloat16()).dtype == torch.bfloat16
