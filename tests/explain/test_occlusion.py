from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from fake_encoder import SIZE, FakeEncoder
from tiny import tiny_model
from xlip.batches.pixels import as_pixels
from xlip.evaluate.adapter import XLIPAdapter
from xlip.evaluate.encoder import TorchEncoder
from xlip.evaluate.heatmap import occlusion as torch_occlusion
from xlip.explain.asked import ask
from xlip.explain.explanation import explain_all
from xlip.explain.occlusion import PASS, box_mean, occlusion
from xlip.phantom import generate

MODEL = tiny_model().eval()
SQUARES = np.stack([generate(index, size=64).pixels for index in range(2)])


@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 4), st.integers(0, 99))
def test_a_blurred_pixel_is_the_mean_of_its_window_inside_the_image(
    height: int, width: int, reach: int, seed: int
) -> None:
    image = np.random.default_rng(seed).random((height, width)).astype(np.float32)
    found = box_mean(image, 2 * reach + 1)
    for y, x in np.ndindex(height, width):
        window = image[max(y - reach, 0) : y + reach + 1, max(x - reach, 0) : x + reach + 1]
        assert found[y, x] == pytest.approx(window.mean(), abs=1e-5)


def before(pixels: torch.Tensor, cells: int) -> torch.Tensor:
    """The occlusion as evaluation computed it before it moved here: in torch, one cell after the other."""
    whole = MODEL.encode_pixels(pixels)
    kernel = 2 * (pixels.shape[-1] // cells) + 1
    blurred = F.avg_pool2d(pixels, kernel, stride=1, padding=kernel // 2, count_include_pad=False)
    bounds = np.linspace(0, pixels.shape[-1], cells + 1).round().astype(int)
    lost = []
    for row, column in np.ndindex(cells, cells):
        part = (..., slice(*bounds[row : row + 2]), slice(*bounds[column : column + 2]))
        changed = pixels.clone()
        changed[part] = blurred[part]
        lost.append(whole - MODEL.encode_pixels(changed))
    return torch.stack(lost, 1).reshape(len(pixels), cells, cells, -1)


def in_windows(images: np.ndarray, answer: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """What each of 8 x 8 cells gets by windows of 2 x 2 cells, written out: (n, 8, 8, E)."""
    side, found = images.shape[-1] // 8, []
    for image in images:
        blurred, whole = box_mean(image, 2 * side + 1), answer(image)
        got = np.zeros((8, 8, len(whole)))
        for row, column in np.ndindex(7, 7):
            part = (slice(row * side, (row + 2) * side), slice(column * side, (column + 2) * side))
            changed = image.copy()
            changed[part] = blurred[part]
            got[row : row + 2, column : column + 2] += (whole - answer(changed)) / 4
        found.append(got)
    return np.stack(found)


@pytest.mark.parametrize("cells", [8, 5])
def test_figures_of_evaluation_stay_what_they_were(cells: int) -> None:
    pixels = as_pixels(SQUARES)
    assert torch.allclose(torch_occlusion(MODEL, pixels, cells), before(pixels, cells), atol=2e-5)


def test_an_encoder_sees_the_same_up_to_the_rounding_of_gray_levels() -> None:
    """A model that adds no share of its map: the loss of the embedding along the words' direction, times the scale."""
    encoder = TorchEncoder(XLIPAdapter(MODEL, "abc"))
    asked = ask(encoder, ["Effusion", "Mass"])
    found = np.stack([[one.map for one in row] for row in explain_all(encoder, SQUARES, asked, "occlusion")])
    lost = in_windows(
        SQUARES.astype(np.float32),
        lambda image: MODEL.encode_pixels(torch.from_numpy(image[None, None]) / 255)[0].numpy(),
    )
    exact = np.einsum("nhwe,ke->nkhw", lost, np.stack([one.direction for one in asked])) * encoder.scale
    assert found.shape == exact.shape == (2, 2, 8, 8)
    assert np.abs(found - exact).max() < 0.02 * np.abs(exact).max()


def test_what_is_lost_is_lost_of_the_score_that_is_printed() -> None:
    """Of a model that adds a share of its map, too: blurring everything at once takes the score down by as much."""
    encoder = FakeEncoder(local_share=0.5)
    image = np.zeros((SIZE, SIZE), np.uint8)
    image[8:12, 8:12] = 200  # one of the 8 x 8 parts
    (found,) = explain_all(encoder, image[None], ["Effusion"], "occlusion")[0]

    def logit(shown: np.ndarray) -> np.ndarray:
        score = explain_all(encoder, np.rint(shown).astype(np.uint8)[None], ["Effusion"])[0][0].score
        return np.array([np.log(score) - np.log1p(-score)])

    assert found.map == pytest.approx(in_windows(image[None].astype(np.float32), logit)[0, ..., 0], abs=1e-4)
    assert found.map[2, 2] == found.map.max() > 0


def test_memory_is_bounded_whatever_the_number_of_images() -> None:
    encoder = FakeEncoder()
    occlusion(lambda images: encoder.encode_squares(images.astype(np.uint8)), np.zeros((3, SIZE, SIZE), np.float32))
    assert sum(encoder.passes) == 3 * 65
    assert max(encoder.passes) <= PASS


def test_what_a_model_does_not_look_at_is_worth_nothing() -> None:
    """A model of one pixel: the cell that holds it alone is on the map."""
    image = np.random.default_rng(0).random((1, 32, 32)).astype(np.float32)
    found = occlusion(lambda images: images[:, 13, 22][:, None], image)
    expected = np.zeros((8, 8))
    window = image[0, 13 - 4 : 13 + 5, 22 - 4 : 22 + 5]
    expected[13 // 4, 22 // 4] = image[0, 13, 22] - window.mean()
    assert found[0, ..., 0] == pytest.approx(expected, abs=1e-6)
