"""The images of a set as tensors, batch by batch, for what is measured by torch alone."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from xlip.batches.pixels import as_pixels
from xlip.evaluate.cases import Case, Cases
from xlip.evaluate.embeddings import square_batches
from xlip.runtime.encoder import Squared


def pixel_batches(model: Squared, cases: Cases, batch_size: int) -> Iterator[tuple[list[Case], Tensor]]:
    """`square_batches` as (n, 1, S, S) in [0, 1]."""
    for chunk, squares in square_batches(model, cases, batch_size):
        yield chunk, as_pixels(squares)
