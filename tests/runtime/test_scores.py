from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xlip.runtime.scores import TEXTS_PER_PASS, kind_scores, map_answers, map_queries, prompt_pairs
from xlip.study.prompts import load_prompts


@given(st.integers(0, 1000), st.floats(0, 100), st.floats(-50, 50))
def test_a_score_is_the_softmax_of_two_scaled_cosines(seed: int, scale: float, added: float) -> None:
    draw = np.random.default_rng(seed)
    images, pairs = draw.normal(size=(3, 8)), draw.normal(size=(2, 2, 8))
    images, pairs = (x / np.linalg.norm(x, axis=-1, keepdims=True) for x in (images, pairs))
    scores = kind_scores(images.astype(np.float32), pairs.astype(np.float32), scale, np.full((3, 2), added))
    for image in range(3):
        for kind in range(2):
            present = float(images[image].astype(np.float32) @ pairs[kind, 0].astype(np.float32)) * scale + added
            absent = float(images[image].astype(np.float32) @ pairs[kind, 1].astype(np.float32)) * scale
            assert scores[image, kind] == pytest.approx(1 / (1 + math.exp(absent - present)), abs=1e-4)


def test_prompts_of_a_kind_are_averaged_over_every_pass() -> None:
    asked: list[int] = []

    def encode(texts: Sequence[str]) -> np.ndarray:
        asked.append(len(texts))
        return np.array([[len(text), text.count("e"), 1] for text in texts], np.float32)

    prompts = load_prompts("xlip")
    pairs = prompt_pairs(encode, prompts, ["Effusion", "Edema"])
    assert pairs.shape == (2, 2, 3)
    assert max(asked) <= TEXTS_PER_PASS
    mean = np.mean([[len(text), text.count("e"), 1] for text in prompts.negative("Edema")], axis=0)
    assert np.allclose(pairs[1, 1], mean / np.linalg.norm(mean), atol=1e-6)


@given(st.integers(0, 1000))
def test_the_answer_of_maps_turns_its_sign_when_prompts_change_places(seed: int) -> None:
    maps = np.random.default_rng(seed).normal(0, 30, size=(2, 6, 4, 5)).astype(np.float32)
    found = map_answers(maps)
    assert np.allclose(found, -map_answers(np.roll(maps, 3, axis=1)))
    present, absent = (one.astype(float).ravel() for one in (maps[1, 2], maps[1, 5]))
    expected = np.log(np.mean(np.exp(present))) - np.log(np.mean(np.exp(absent)))
    assert found[1, 2] == pytest.approx(expected, rel=1e-6)


def test_the_queries_of_pairs_are_the_positive_ones_and_then_the_negative_ones() -> None:
    pairs = np.arange(12, dtype=np.float32).reshape(3, 2, 2)
    assert map_queries(pairs).tolist() == [[0, 1], [4, 5], [8, 9], [2, 3], [6, 7], [10, 11]]
