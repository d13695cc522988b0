"""Noise that is a function of a seed and a place alone: the same on every device, drawn where the pixels are."""

from __future__ import annotations

import math

import torch
from torch import Tensor

_ADD, _FIRST, _SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
"""Of splitmix64 (Steele, Lea & Flood 2014, doi:10.1145/2660193.2660195)."""
BITS = 24
"""Of a uniform number: as many as fp32 holds exactly."""


def counter_normal(seeds: Tensor, shape: tuple[int, ...]) -> Tensor:
    """(B, *shape) of the standard normal distribution, fp32, on the device of the seeds (B,) int64.

    Counters are mixed in whole numbers, which every device computes alike; the last step (Box & Muller 1958) rounds
    differently on some, by less than 1e-5.
    """
    count = math.prod(shape)
    counters = torch.arange(1, count + 1, device=seeds.device)
    mixed = _mixed(_mixed(seeds)[:, None] + counters[None] * _signed(_ADD))
    first = ((_shifted(mixed, 64 - BITS) + 1).float()) / (1 << BITS)
    second = (mixed & ((1 << BITS) - 1)).float() / (1 << BITS)
    made: Tensor = (-2 * first.log()).sqrt() * (2 * math.pi * second).cos()
    return made.view(len(seeds), *shape)


def _mixed(x: Tensor) -> Tensor:
    x = (x ^ _shifted(x, 30)) * _signed(_FIRST)
    x = (x ^ _shifted(x, 27)) * _signed(_SECOND)
    return x ^ _shifted(x, 31)


def _shifted(x: Tensor, by: int) -> Tensor:
    """To the right, with zeros from the left: int64 has a sign that would be copied."""
    return (x >> by) & ((1 << (64 - by)) - 1)


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value
