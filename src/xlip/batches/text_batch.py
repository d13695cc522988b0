"""Tokenised texts with the units that masking keeps whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class TextBatch:
    """B tokenised texts, padded to the same T."""

    ids: Tensor
    """(B, T) int64."""
    mask: Tensor
    """(B, T), True = real token."""
    group: Tensor
    """(B, T) int64: number of the word or entity that a token belongs to; -1 for special tokens and padding."""
    is_entity: Tensor
    """(B, T), True inside a medical entity."""

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, rows: slice) -> TextBatch:
        return TextBatch(self.ids[rows], self.mask[rows], self.group[rows], self.is_entity[rows])

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
        return TextBatch(**{name: F.pad(getattr(self, name), (0, extra), value=v) for name, v in fills.items()})

    def to(self, device: torch.device) -> TextBatch:
        """The same batch on a device."""
        return TextBatch(*(getattr(self, name).to(device, non_blocking=True) for name in self.__dataclass_fields__))

    def with_ids(self, ids: Tensor) -> TextBatch:
        """The same texts with other token ids (masked ones, say)."""
        return replace(self, ids=ids)
