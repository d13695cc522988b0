from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xlip.images.square import PREPROCESS, fit, unfitted


@given(st.sampled_from(PREPROCESS), st.integers(40, 200), st.integers(40, 200), st.integers(0, 999))
def test_a_box_on_the_square_comes_back_to_where_it_was_on_the_image(
    preprocess: str, height: int, width: int, seed: int
) -> None:
    """A bright rectangle near the middle, found again on the square by its brightness."""
    draw, side = np.random.default_rng(seed), 96
    shortest = min(height, width)
    down, across = (int(one) for one in draw.integers(shortest // 4, shortest // 2, 2))
    top, left = (height - down) // 2, (width - across) // 2
    image = np.zeros((height, width), np.uint8)
    image[top : top + down, left : left + across] = 255
    inside = fit(image, side, preprocess) >= 128
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    box = (columns[0], rows[0], columns[-1] + 1 - columns[0], rows[-1] + 1 - rows[0])
    found = unfitted(tuple(value / side for value in box), image.shape, preprocess)  # type: ignore[arg-type]
    pixel = max(height, width) / side + 1
    assert found == pytest.approx((left, top, across, down), abs=2 * pixel)


def test_what_lies_on_the_padding_is_cut_off() -> None:
    assert unfitted((0, 0, 1, 1), (50, 100), "letterbox") == (0, 0, 100, 50)
    assert unfitted((0.4, 0, 0.2, 0.3), (100, 100), "letterbox") == pytest.approx((40, 0, 20, 30))
    assert unfitted((0, 0, 1, 1), (50, 100), "clip") == (25, 0, 50, 50)
    assert unfitted((0, 0, 0.5, 1), (50, 100), "squash") == (0, 0, 50, 50)
