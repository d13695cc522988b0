"""Noise from counters: each pixel's own number, of the right distribution, wherever and with whom it is drawn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from xlip.batches.augmentation import Augment
from xlip.batches.noise import _mixed, counter_normal


def splitmix(x: int) -> int:
    """The mixing of splitmix64 in Python's whole numbers."""
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB % 2**64
    return x ^ (x >> 31)


def test_mixing_is_that_of_splitmix64_for_every_sign() -> None:
    numbers = [0, 1, 2**47, 2**63 - 1, -1, -(2**63), 123456789]
    mixed = _mixed(torch.tensor(numbers)).tolist()
    assert [one % 2**64 for one in mixed] == [splitmix(one % 2**64) for one in numbers]


def test_numbers_are_normal_and_independent_between_pixels_and_images() -> None:
    drawn = counter_normal(torch.arange(100, 104), (1, 96, 96)).numpy()
    assert stats.kstest(drawn.ravel(), "norm").pvalue > 1e-3
    flat = drawn.reshape(4, -1)
    assert np.abs(np.corrcoef(flat) - np.eye(4)).max() < 0.05
    assert abs(np.corrcoef(flat[:, 1:].ravel(), flat[:, :-1].ravel())[0, 1]) < 0.03


def test_an_images_noise_and_augmentation_do_not_depend_on_its_batch() -> None:
    seeds = torch.tensor([5, 9, 2**40])
    squares = torch.randint(0, 256, (3, 1, 32, 32), dtype=torch.uint8)
    together = Augment().on_device(squares, seeds)
    for row in range(3):
        assert torch.equal(Augment().on_device(squares[row : row + 1], seeds[row : row + 1])[0], together[row])
    assert together.min() >= 0
    assert together.max() <= 1
    assert not torch.equal(together[0], squares[0].float() / 255)
    assert Augment().on_device(squares[:0], seeds[:0]).shape == (0, 1, 32, 32)


def test_without_noise_bytes_on_the_device_become_what_workers_make_of_them() -> None:
    from xlip.batches.draws import row_draws

    augment, seeds = Augment(noise=0.0), torch.tensor([1, 2])
    squares = torch.randint(0, 256, (2, 1, 32, 32), dtype=torch.uint8)
    by_workers = augment(squares.float() / 255, row_draws(seeds, "augment"))
    assert torch.allclose(augment.on_device(squares, seeds), by_workers, atol=1e-6)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_cpu_and_gpu_agree() -> None:
    seeds, squares = torch.tensor([1, 2]), torch.randint(0, 256, (2, 1, 64, 64), dtype=torch.uint8)
    on_gpu = Augment().on_device(squares.cuda(), seeds).cpu()
    assert torch.allclose(on_gpu, Augment().on_device(squares, seeds), atol=1e-5)
