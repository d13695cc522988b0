from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from xlip.finetune.sampling import balancing_weights, batches


@settings(deadline=None, max_examples=40)
@given(count=st.integers(1, 50), size=st.integers(1, 20), seed=st.integers(0, 99))
def test_every_image_comes_once_an_epoch(count: int, size: int, seed: int) -> None:
    steps = 3 * count
    drawn = np.concatenate(list(batches(count, size, steps, seed)))
    assert len(drawn) == steps * min(size, count)
    for epoch in range(len(drawn) // count):
        assert sorted(drawn[epoch * count : (epoch + 1) * count]) == list(range(count))
    assert (drawn == np.concatenate(list(batches(count, size, steps, seed)))).all()


def test_balanced_draws_show_rare_kinds_about_as_often_as_frequent_ones() -> None:
    targets = np.zeros((1000, 2), np.int8)
    targets[:400, 0] = 1
    targets[990:, 1] = 1
    weights = balancing_weights(targets)
    drawn = targets[np.concatenate(list(batches(1000, 50, 200, 0, weights)))]
    plain = targets[np.concatenate(list(batches(1000, 50, 200, 0)))]
    assert 0.5 < drawn[:, 1].mean() / drawn[:, 0].mean() < 2
    assert plain[:, 1].mean() / plain[:, 0].mean() < 0.05


def test_images_without_a_known_label_are_not_drawn_unless_all_are() -> None:
    targets = np.array([[-1], [1], [0]], np.int8)
    assert balancing_weights(targets).tolist() == [0.0, 1.0, 1.0]
    assert balancing_weights(np.full((3, 2), -1)).tolist() == [1.0, 1.0, 1.0]
