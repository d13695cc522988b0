"""What one training step consumes: pairs first, then lone images and lone reports."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from xlip.batches.text_batch import TextBatch
from xlip.study.labels import UNCERTAIN, UncertainPolicy


@dataclass(frozen=True)
class Batch:
    """The first `pairs` rows of `pixels` and of `reports` belong together; the rest stand alone."""

    pixels: Tensor
    """(B, 1, H, W) in [0, 1]: pairs, then lone images."""
    image_labels: Tensor
    """(B, K) int8 of `LabelState`."""
    reports: TextBatch
    """R texts: pairs, then lone reports."""
    report_labels: Tensor
    """(R, K) int8, found in the report by the entity tagger; same codes."""
    report_key: Tensor
    """(R,) int64: equal for equal texts."""
    prompts: TextBatch
    """2 K texts: the positive prompt of every kind, then the negative ones; drawn anew for every step."""
    pairs: int
    kinds: tuple[str, ...]
    """The K columns of labels and prompts."""
    attributes: Tensor
    """(B, V) float: what the header says of each image, see `xlip.study.attributes`; (B, 0) where no objective asks."""
    attribute_texts: TextBatch
    """V texts: one of each value; drawn anew for every step."""
    image_seeds: Tensor
    """(B,) int64, on the CPU: what every random draw for an image follows from, see `xlip.batches.draws`."""
    report_seeds: Tensor
    """(R,) int64, on the CPU: the same for a report."""
    image_studies: tuple[str, ...]
    """Study ids of the B images: a fault in training names them."""
    report_studies: tuple[str, ...]
    """Study ids of the R reports."""
    descriptions: TextBatch
    """One text of each lone image, made of its labels (see `batches.descriptions`); empty where none is known."""
    described: Tensor
    """(lone images,) bool: whether its description says anything."""
    meaning: Tensor
    """(lone images,) int64: equal for descriptions that state the same kinds in the same places; 0 = nothing stated."""
    denials: TextBatch
    """M texts that deny kinds: a prompt of each of the K kinds, the same on every rank, then sentences of the reports
    (see `batches.denials`); empty where no objective asks."""
    denied: Tensor
    """(M, K) bool: which kinds each of them denies."""

    def targets(self, labels: Tensor, uncertain: str) -> Tensor:
        """Labels (n, K) -> targets (n, K) of 1, 0 and -1 = ignored, as the policy `uncertain` says."""
        counts_as = torch.from_numpy(UncertainPolicy.parse(uncertain).counts_as(self.kinds))
        return torch.where(labels == UNCERTAIN, counts_as.to(labels.device), labels)

    def to(self, device: torch.device) -> Batch:
        """The same batch on a device."""
        return replace(self, **{name: getattr(self, name).to(device) for name in DEVICE_FIELDS})


ON_THE_CPU = ("pairs", "kinds", "image_seeds", "report_seeds", "image_studies", "report_studies")
DEVICE_FIELDS = tuple(field.name for field in fields(Batch) if field.name not in ON_THE_CPU)
"""What the model computes with; seeds stay on the CPU, where the generators are."""
