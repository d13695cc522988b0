"""A place on the square is the place on the film that the model saw there."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xlip.errors import XLIPError
from xlip.images.square import PREPROCESS, fit
from xlip.pacs.geometry import on_film

sides = st.integers(20, 90)


@pytest.mark.parametrize("preprocess", PREPROCESS)
@settings(max_examples=30)
@given(rows=sides, columns=sides, down=st.floats(0.3, 0.7), across=st.floats(0.3, 0.7))
def test_a_bright_patch_comes_back_to_where_it_was(
    preprocess: str, rows: int, columns: int, down: float, across: float
) -> None:
    film = np.zeros((rows, columns), np.uint8)
    short = min(rows, columns)
    centre = (rows / 2 + (down - 0.5) * short, columns / 2 + (across - 0.5) * short)
    top, left = int(centre[0]) - 2, int(centre[1]) - 2
    film[top : top + 5, left : left + 5] = 255
    heat = fit(film, 128, preprocess).astype(np.float32)
    back = on_film(heat, film.shape, preprocess)
    assert back.shape == film.shape
    weights = back.astype(np.float64) / back.sum()
    row = (weights.sum(1) * np.arange(rows)).sum()
    column = (weights.sum(0) * np.arange(columns)).sum()
    assert abs(row - (top + 2)) < 0.5
    assert abs(column - (left + 2)) < 0.5


@settings(max_examples=30)
@given(rows=sides, columns=sides, cells=st.integers(2, 9))
def test_a_slope_on_a_letterboxed_square_is_the_same_slope_on_the_film(rows: int, columns: int, cells: int) -> None:
    """Worked out by hand: pixel r of the film lies at (r + 1/2 + padding) / side of the square."""
    heat = np.repeat(((np.arange(cells) + 0.5) / cells)[:, None], cells, 1).astype(np.float32)
    side = max(rows, columns)
    place = (np.arange(rows) + 0.5 + (side - rows) // 2) / side
    expected = np.clip(place, 0.5 / cells, 1 - 0.5 / cells)
    np.testing.assert_allclose(
        on_film(heat, (rows, columns), "letterbox"), expected[:, None].repeat(columns, 1), atol=1e-5
    )


def test_a_square_film_and_its_map_of_the_same_size_are_one() -> None:
    heat = np.random.default_rng(0).normal(size=(33, 33)).astype(np.float32)
    for preprocess in PREPROCESS:
        np.testing.assert_allclose(on_film(heat, (33, 33), preprocess), heat, atol=1e-6)


def test_what_a_clipped_square_does_not_show_has_no_response() -> None:
    back = on_film(np.ones((4, 4), np.float32), (40, 60), "clip")
    assert (back[:, :10] == 0).all()
    assert (back[:, 50:] == 0).all()
    assert (back[:, 10:50] == 1).all()


def test_an_unknown_way_to_a_square_is_refused() -> None:
    with pytest.raises(XLIPError, match="letterbox"):
        on_film(np.ones((4, 4), np.float32), (40, 60), "stretch")
