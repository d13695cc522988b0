from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import ndimage

from xlip.explain.boxes import boxes

MAPS = arrays(np.float32, array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.floats(-4, 8, width=32))


@given(MAPS)
def test_there_is_a_box_around_each_connected_part(heat: np.ndarray) -> None:
    peak = float(heat.max())
    found = boxes(heat, 0.0, "Mass")
    if peak <= 0:
        assert found == ()
        return
    parts, count = ndimage.label(heat >= 0.5 * peak, np.ones((3, 3)))
    height, width = heat.shape
    expected = {
        (columns.start / width, rows.start / height, columns.stop / width, rows.stop / height)
        for rows, columns in ndimage.find_objects(parts)
    }
    made = [(box.x, box.y, box.x + box.width, box.y + box.height) for box in found]
    assert len(made) == count
    assert {tuple(np.round(box, 9)) for box in made} == {tuple(np.round(box, 9)) for box in expected}


@given(MAPS)
def test_the_hottest_part_comes_first(heat: np.ndarray) -> None:
    for box in boxes(heat, 0.0, "Mass")[:1]:
        hottest = (np.argwhere(heat == heat.max()) + 0.5) / heat.shape
        assert any(box.y < y < box.y + box.height and box.x < x < box.x + box.width for y, x in hottest)
