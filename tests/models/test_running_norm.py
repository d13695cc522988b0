"""The norm of the local stem: statistics of earlier steps, the same for every place, image and process."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from xlip.models.running_norm import EPS, MOMENTUM, RunningNorm, settle


def naive(steps: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Running mean and variance of channels after some steps, value by value."""
    mean, variance = np.zeros(steps[0].shape[1]), np.ones(steps[0].shape[1])
    for number, step in enumerate(steps):
        share = max(MOMENTUM, 1 / (number + 1))
        for channel in range(len(mean)):
            values = step[:, channel].ravel()
            mean[channel] += share * (values.mean() - mean[channel])
            variance[channel] += share * (values.var() - variance[channel])
    return mean, variance


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 5))
def test_statistics_are_those_of_the_steps_before(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    steps = [rng.normal(rng.normal(), 2, size=(3, 4, 5, 6)).astype(np.float32) for _ in range(count)]
    norm = RunningNorm(4).train()
    for step in steps:
        norm(torch.from_numpy(step))
        settle(norm)
    mean, variance = naive(steps)
    assert norm.mean.numpy() == pytest.approx(mean, abs=1e-4)
    assert norm.variance.numpy() == pytest.approx(variance, rel=1e-3)
    x = rng.normal(size=(2, 4, 3, 3)).astype(np.float32)
    wanted = (x - mean[:, None, None]) / np.sqrt(variance[:, None, None] + EPS)
    assert norm(torch.from_numpy(x)).detach().numpy() == pytest.approx(wanted, abs=1e-3)


def test_a_step_in_parts_counts_as_one_and_parts_see_the_same_statistics() -> None:
    x = torch.randn(6, 4, 5, 5) * 3 + 1
    whole, parts = RunningNorm(4).train(), RunningNorm(4).train()
    made = [whole(x), torch.cat([parts(x[:1]), parts(x[1:])])]
    assert torch.equal(*made)
    settle(whole)
    settle(parts)
    assert torch.allclose(whole.mean, parts.mean, atol=1e-6)
    assert torch.allclose(whole.variance, parts.variance, rtol=1e-5)


def test_nothing_is_learned_without_gradients_in_evaluation_or_from_no_image() -> None:
    norm = RunningNorm(4).train()
    with torch.no_grad():
        norm(torch.randn(2, 4, 3, 3))
    norm.eval()(torch.randn(2, 4, 3, 3))
    norm.train()(torch.randn(0, 4, 3, 3))
    norm.settle()
    assert int(norm.steps) == 0
    assert torch.equal(norm.mean, torch.zeros(4))
    assert torch.equal(norm.variance, torch.ones(4))


def test_a_place_knows_nothing_of_the_others() -> None:
    norm, x = RunningNorm(4).train(), torch.randn(2, 4, 6, 6)
    changed = x.clone()
    changed[0, :, 0, 0] += 5
    one, two = norm(x), norm(changed)
    assert torch.equal(one[0, :, 1:], two[0, :, 1:])
    assert torch.equal(one[1], two[1])
