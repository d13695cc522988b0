"""Tokenised texts with the units that masking keeps whole."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor
from torch.nn import functional as F


def _unset() -> Tensor:
    return torch.zeros(0, dtype=torch.long)


@dataclass(frozen=True)
class TextBatch:
    """B tokenised texts, padded to the same T. What the model computes with goes to a device; what a step is planned by
    stays on the CPU, so that nothing has to be asked of the device.
    """

    ids: Tensor
    """(B, T) int64."""
    mask: Tensor
    """(B, T), True = real token."""
    group: Tensor
    """(B, T) int64, on the CPU: number of a token's word or entity; -1 for special tokens and padding."""
    is_entity: Tensor
    """(B, T), on the CPU: True inside a medical entity."""
    lengths: Tensor = field(default_factory=_unset)
    """(B,) int64, on the CPU: real tokens."""
    keys: Tensor = field(default_factory=_unset)
    """(B,) int64, on the CPU: equal for equal texts; 0 = not known to equal another."""

    def __post_init__(self) -> None:
        rows = len(self.ids)
        if len(self.lengths) != rows:
            object.__setattr__(self, "lengths", self.mask.sum(1).cpu())
        if len(self.keys) != rows:
            object.__setattr__(self, "keys", torch.zeros(rows, dtype=torch.long))

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, rows: slice) -> TextBatch:
        return TextBatch(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))

    @classmethod
    def empty(cls, rows: int, tokens: int) -> TextBatch:
        """A batch of padding only."""
        zeros = torch.zeros(rows, tokens, dtype=torch.long)
        return cls(zeros, zeros.bool(), zeros - 1, zeros.bool())

    @classmethod
    def concatenate(cls, batches: Sequence[TextBatch]) -> TextBatch:
        """Stack batches, padded to the longest; padding has id 0, as [PAD] has in BERT vocabularies."""
        length = max(batch.ids.shape[1] for batch in batches)
        padded = [batch.padded(length) for batch in batches]
        return cls(*(torch.cat([getattr(b, name) for b in padded]) for name in cls.__dataclass_fields__))

    def padded(self, length: int) -> TextBatch:
        """The same texts with T = `length`."""
        extra = length - self.ids.shape[1]
        fills = {"ids": 0, "mask": False, "group": -1, "is_entity": False}
        return replace(self, **{name: F.pad(getattr(self, name), (0, extra), value=v) for name, v in fills.items()})

    def to(self, device: torch.device) -> TextBatch:
        """The same batch with its ids and mask on a device."""
        return replace(self, **{name: getattr(self, name).to(device, non_blocking=True) for name in ("ids", "mask")})

    def with_ids(self, ids: Tensor) -> TextBatch:
        """The same texts with other token ids (masked ones, say)."""
        return replace(self, ids=ids, keys=torch.zeros_like(self.keys))

    def with_keys(self) -> TextBatch:
        """The same texts, on the CPU, with a key for each that follows from its ids."""
        rows = (row[:length].numpy().tobytes() for row, length in zip(self.ids, self.lengths.tolist(), strict=True))
        found = [int.from_bytes(hashlib.blake2b(row, digest_size=7).digest(), "big") for row in rows]
        return replace(self, keys=torch.tensor(found, dtype=torch.long))
