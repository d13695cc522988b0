"""Random numbers of a row (an image, a report): a function of the row's seed, whatever process or batch it is in."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Draws = torch.Generator | Sequence[torch.Generator]
"""CPU generators: one for all rows together, or one for each row."""


def seed_of(*parts: object) -> int:
    """A seed, 0 to 2^48, from anything whose `repr` says what it is."""
    return int.from_bytes(hashlib.blake2b(repr(parts).encode(), digest_size=6).digest(), "big")


def row_draws(seeds: Tensor, purpose: str) -> list[torch.Generator]:
    """A generator for each row, from seeds (rows,) int64; different purposes draw independently of one another."""
    return [torch.Generator().manual_seed(seed_of(seed, purpose)) for seed in seeds.tolist()]


def uniform(draws: Draws, rows: int, *shape: int) -> Tensor:
    """(rows, *shape) in [0, 1), on the CPU; a row's first numbers do not depend on how many are drawn."""
    return _stacked(torch.rand, draws, rows, shape)


def normal(draws: Draws, rows: int, *shape: int) -> Tensor:
    """(rows, *shape) of the standard normal distribution, on the CPU."""
    return _stacked(torch.randn, draws, rows, shape)


def _stacked(draw: Callable[..., Tensor], draws: Draws, rows: int, shape: tuple[int, ...]) -> Tensor:
    if isinstance(draws, torch.Generator):
        return draw(rows, *shape, generator=draws)
    assert len(draws) == rows
    return torch.stack([draw(shape, generator=one) for one in draws]) if rows else torch.zeros(0, *shape)
