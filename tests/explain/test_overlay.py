from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from xlip.explain.overlay import OPACITY, enlarged, painted


@given(st.integers(0, 999), st.integers(1, 8), st.floats(0, 2), st.floats(0.5, 8))
def test_a_pixel_is_mixed_with_its_colour_by_the_value_above_it(seed: int, cells: int, low: float, more: float) -> None:
    draw = np.random.default_rng(seed)
    image = draw.integers(0, 256, (24, 17)).astype(np.uint8)
    heat = draw.normal(low, more, (cells, cells)).astype(np.float32)
    picture = painted(image, heat, low, low + more)
    values = enlarged(heat, image.shape)
    for y, x in draw.integers(0, (24, 17), (9, 2)):
        share = min(max((float(values[y, x]) - low) / more, 0), 1)
        gray = float(image[y, x])
        expected = [(1 - OPACITY * share) * gray + OPACITY * share * colour for colour in (255, 255 * share, 0)]
        assert np.abs(picture[y, x] - expected).max() <= 1
    assert (picture[values <= low] == image[values <= low][:, None]).all()


def test_the_colours_of_one_value_are_the_same_on_every_map() -> None:
    """No stretching to a map's own maximum: a weak map stays weak."""
    image = np.zeros((8, 8), np.uint8)
    weak, strong = (painted(image, np.array([[0, value]], np.float32), 0, 8) for value in (1, 8))
    assert weak.max() < 30
    assert strong.max() > 180
