from __future__ import annotations

import numpy as np
import pytest

from xlip.phantom import generate
from xlip.runtime.quality import judge

SIDE = 128


@pytest.fixture(scope="module")
def films() -> list[np.ndarray]:
    return [generate(index, seed=3, size=SIDE).pixels for index in range(40)]


def test_films_pass_whatever_is_said_of_their_view(films: list[np.ndarray]) -> None:
    for view in ("", "PA", "ap", "Frontal"):
        assert sum(judge(film, view) == "" for film in films) >= len(films) - 1


def test_an_inverted_film_is_called_inverted(films: list[np.ndarray]) -> None:
    for view in ("", "PA"):
        assert sum(judge(255 - film, view).startswith("picture may be inverted") for film in films) >= len(films) - 2


@pytest.mark.parametrize(
    ("picture", "reason"),
    [
        (np.zeros((200, 150), np.uint8), "picture is nearly uniform"),
        (np.full((200, 150), 255, np.uint8), "picture is nearly uniform"),
        (np.linspace(0, 30, 40_000).astype(np.uint8).reshape(200, 200), "picture is nearly black"),
        (np.linspace(220, 255, 40_000).astype(np.uint8).reshape(200, 200), "picture is nearly white"),
        (np.random.default_rng(0).integers(0, 255, (8, 200), dtype=np.uint8), "picture is too small"),
    ],
)
def test_blank_and_tiny_pictures_are_named(picture: np.ndarray, reason: str) -> None:
    assert judge(picture).startswith(reason)
    assert judge(picture, "PA").startswith(reason)


def test_a_lateral_film_is_refused_by_what_is_said_of_it(films: list[np.ndarray]) -> None:
    assert judge(films[0], "LATERAL").startswith("not a frontal chest film: the view is said to be lateral")


def test_turned_films_and_other_pictures_are_no_frontal_films(films: list[np.ndarray]) -> None:
    others = [np.rot90(film) for film in films]
    stripes = np.tile(np.arange(SIDE, dtype=np.uint8) % 16 * 15, (SIDE, 1))
    noise = np.random.default_rng(1).integers(0, 255, (SIDE, SIDE), dtype=np.uint8)
    assert sum(judge(np.ascontiguousarray(one)) != "" for one in others) >= len(others) - 1
    assert judge(stripes)
    assert judge(noise)
