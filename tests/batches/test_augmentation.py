"""What augmentation may do to an image, seen on a ramp whose place, direction and scale can be read off afterwards."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from xlip.batches.augmentation import Augment
from xlip.errors import XLIPError
from xlip.objectives.view_contrast import SECOND_VIEW

STILL = {"contrast": 0.0, "brightness": 0.0, "gamma": 0.0, "noise": 0.0}
MOVES = st.builds(
    Augment,
    min_scale=st.floats(0.6, 1),
    rotation=st.floats(0, 20),
    stretch=st.floats(0, 0.3),
    **{k: st.just(v) for k, v in STILL.items()},
)
SEEDS = st.integers(0, 2**32)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def ramp(axis: int, rows: int = 4, size: int = 64) -> torch.Tensor:
    """(rows, 1, size, size) in [0, 1] that rises along an axis: 2 = downwards, 3 = to the right."""
    steps = (torch.arange(size) + 0.5) / size
    return (steps[:, None] if axis == 2 else steps).expand(rows, 1, size, size)


def slopes(images: torch.Tensor) -> torch.Tensor:
    """(B, 2): change per share of the height and of the width, in the middle, where no border comes in."""
    size, middle = images.shape[-1], slice(24, 40)
    centre = images[:, 0, middle, middle] * size
    return torch.stack([centre.diff(dim=1).mean((1, 2)), centre.diff(dim=2).mean((1, 2))], 1)


@settings(deadline=None)
@given(augment=st.one_of(MOVES, st.just(replace(SECOND_VIEW, **STILL))), seed=SEEDS)
def test_left_stays_left_and_up_stays_up_within_the_bounds(augment: Augment, seed: int) -> None:
    """The map from output to input is diag(stretch, 1 / stretch) near a rotation, times the crop's side."""
    down, right = (slopes(augment(ramp(axis), seeded(seed))) for axis in (2, 3))
    least, turn, stretch = math.sqrt(augment.min_scale), math.radians(augment.rotation), 1 + augment.stretch / 2
    for along, across in ((down[:, 0], down[:, 1]), (right[:, 1], right[:, 0])):
        assert float(along.min()) > least * math.cos(turn) * (2 - stretch) - 1e-3
        assert float(along.max()) < 1 / (2 - stretch) + 1e-3
        assert float(across.abs().max()) <= math.sin(turn) + 1e-3
        assert torch.all(along > 0)


@settings(deadline=None, max_examples=20)
@given(seed=SEEDS)
def test_the_bounds_are_used_and_rows_differ(seed: int) -> None:
    augment = Augment(**STILL)
    right = slopes(augment(ramp(3, 200), seeded(seed)))
    assert 0.77 < float(right[:, 1].min()) < 0.85 < 0.97 < float(right[:, 1].max()) < 1.06
    assert float(right[:, 0].min()) < -0.1 < 0.1 < float(right[:, 0].max())
    centre = augment(ramp(3, 200), seeded(seed))[:, 0, 32, 32]
    assert 0.4 < float(centre.min()) < 0.47 < 0.53 < float(centre.max()) < 0.6


@settings(deadline=None, max_examples=20)
@given(seed=SEEDS)
def test_exposure_keeps_the_order_of_grays_and_the_range(seed: int) -> None:
    exposure = Augment(min_scale=1, rotation=0, stretch=0, noise=0)
    image = ramp(3, 50)
    changed = exposure(image, seeded(seed))
    assert 0 <= float(changed.min()) <= float(changed.max()) <= 1
    assert torch.all(changed.diff(dim=3) >= 0)
    assert changed.mean((1, 2, 3)).std() > 0.02
    assert torch.allclose(replace(exposure, **STILL)(image, seeded(seed)), image, atol=1e-5)


def test_noise_has_at_most_the_deviation_that_is_set() -> None:
    gray = torch.full((60, 1, 64, 64), 0.5)
    noisy = Augment(min_scale=1, rotation=0, stretch=0, contrast=0, brightness=0, gamma=0, noise=0.05)(gray, seeded(0))
    deviations = noisy.std((1, 2, 3))
    assert 0.04 < float(deviations.max()) < 0.052
    assert float(deviations.min()) < 0.01


def test_draws_come_from_the_generator_alone_and_nothing_is_nothing() -> None:
    augment, image = Augment(), ramp(2)
    torch.manual_seed(0)
    first = augment(image, seeded(1))
    torch.manual_seed(1)
    assert torch.equal(first, augment(image, seeded(1)))
    assert not torch.equal(first, augment(image, seeded(2)))
    assert augment(image[:0], seeded(1)).shape == (0, 1, 64, 64)
    with pytest.raises(XLIPError, match=r"augment\.min_scale: expected 0\.6 to 1, got 0\.5"):
        Augment(min_scale=0.5)
