"""Bytes to the numbers that a model sees."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from xlip.images.gray import Gray


def as_pixels(squares: Gray) -> Tensor:
    """Uint8 (n, S, S) -> float (n, 1, S, S) in [0, 1]."""
    return from_bytes(torch.from_numpy(np.ascontiguousarray(squares)).unsqueeze(1))


def from_bytes(squares: Tensor) -> Tensor:
    """Uint8 of any shape, on any device -> float in [0, 1]."""
    return squares.float() / 255
