"""What one training step consumes: pairs first, then lone images and lone reports."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from xlip.batches.text_batch import TextBatch


@dataclass(frozen=True)
class Batch:
    """The first `pairs` rows of `pixels` and of `reports` belong together; the rest stand alone."""

    pixels: Tensor
    """(B, 1, H, W) in [0, 1]: pairs, then lone images."""
    image_labels: Tensor
    """(B, K) int8: 1 present, 0 absent, 2 uncertain, -1 unknown."""
    reports: TextBatch
    """R texts: pairs, then lone reports."""
    report_labels: Tensor
    """(R, K) int8, found in the report by the entity tagger; same codes."""
    report_key: Tensor
    """(R,) int64: equal for equal texts."""
    prompts: TextBatch
    """2 K texts: the positive prompt of every kind, then the negative ones; drawn anew for every step."""
    pairs: int
    attributes: Tensor
    """(B, V) float: what the header says of each image, see `xlip.study.attributes`; (B, 0) where no objective asks."""
    attribute_texts: TextBatch
    """V texts: one of each value; drawn anew for every step."""

    def to(self, device: torch.device) -> Batch:
        """The same batch on a device."""
        names = [field.name for field in fields(self) if field.name != "pairs"]
        return replace(self, **{name: getattr(self, name).to(device) for name in names})
