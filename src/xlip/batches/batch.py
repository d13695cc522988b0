"""What one training step consumes: pairs first, then lone images and lone reports."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from xlip.batches.augmentation import Augment
from xlip.batches.pixels import from_bytes
from xlip.batches.text_batch import TextBatch
from xlip.study.labels import UNCERTAIN, UncertainPolicy


@dataclass(frozen=True)
class Batch:
    """The first `pairs` rows of `pixels` and of `reports` belong together; the rest stand alone."""

    pixels: Tensor
    """(B, 1, H, W) in [0, 1]: pairs, then lone images; uint8 until `ready`, where a device augments them."""
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
    """(lone images,) int64, on the CPU: equal for descriptions that say the same kinds in the same places; 0 = none."""
    denials: TextBatch
    """M texts that deny kinds: a prompt of each of the K kinds, the same on every rank, then sentences of the reports
    (see `batches.denials`); empty where no objective asks."""
    denied: Tensor
    """(M, K) bool: which kinds each of them denies."""
    regions: Tensor
    """(B, 1, S, S) where the findings of each image are, moved as its pixels are: in [0, 1], uint8 until `ready`;
    (B, 0) where no objective asks."""

    def targets(self, labels: Tensor, uncertain: str) -> Tensor:
        """Labels (n, K) -> targets (n, K) of 1, 0 and -1 = ignored, as the policy `uncertain` says."""
        counts_as = torch.from_numpy(UncertainPolicy.parse(uncertain).counts_as(self.kinds))
        return torch.where(labels == UNCERTAIN, counts_as.to(labels.device), labels)

    def to(self, device: torch.device) -> Batch:
        """The same batch on a device."""

        def moved(value: Tensor | TextBatch) -> Any:
            return value.to(device, non_blocking=True) if isinstance(value, Tensor) else value.to(device)

        return replace(self, **{name: moved(getattr(self, name)) for name in DEVICE_FIELDS})

    def ready(self, augment: Augment | None) -> Batch:
        """The batch with pixels as the model takes them; bytes are augmented where they are."""
        if self.pixels.dtype != torch.uint8:
            return self
        regions = from_bytes(self.regions)
        if augment is None:
            return replace(self, pixels=from_bytes(self.pixels), regions=regions)
        pixels = augment.on_device(self.pixels, self.image_seeds)
        return replace(self, pixels=pixels, regions=augment.placed(regions, self.image_seeds))

    def pin_memory(self) -> Batch:
        """The same batch in memory from which copies to a device need no waiting."""

        def pin(value: Tensor | TextBatch) -> Any:
            if isinstance(value, Tensor):
                return value.pin_memory()
            return replace(value, ids=value.ids.pin_memory(), mask=value.mask.pin_memory())

        return replace(self, **{name: pin(getattr(self, name)) for name in DEVICE_FIELDS})

    def parts(self, count: int) -> list[Part]:
        """The batch in `count` parts, each with its share of pairs, lone images and lone reports."""
        lone = len(self.pixels) - self.pairs, len(self.reports) - self.pairs
        found = []
        for number in range(count):
            of = [(rows * number // count, rows * (number + 1) // count) for rows in (self.pairs, *lone)]
            pairs, images, reports = ([*range(*ends)] for ends in of)
            found.append(Part(self, pairs, images, reports))
        return found


@dataclass(frozen=True)
class Part:
    """Some rows of a batch."""

    whole: Batch
    pairs: list[int]
    lone_images: list[int]
    lone_reports: list[int]

    @property
    def images(self) -> list[int]:
        """Rows of the whole batch's images."""
        return [*self.pairs, *(self.whole.pairs + row for row in self.lone_images)]

    @property
    def reports(self) -> list[int]:
        """Rows of the whole batch's reports."""
        return [*self.pairs, *(self.whole.pairs + row for row in self.lone_reports)]

    def batch(self) -> Batch:
        """Those rows as a batch; what all rows share is not cut."""
        rows = dict.fromkeys(IMAGE_ROWS, self.images) | dict.fromkeys(REPORT_ROWS, self.reports)
        rows |= dict.fromkeys(LONE_IMAGE_ROWS, self.lone_images)
        cut = {name: _taken(getattr(self.whole, name), chosen) for name, chosen in rows.items()}
        return replace(self.whole, pairs=len(self.pairs), **cut)


def _taken(value: Any, rows: list[int]) -> Any:
    if isinstance(value, tuple):
        return tuple(value[row] for row in rows)
    if isinstance(value, TextBatch):
        return TextBatch(*(_taken(getattr(value, name), rows) for name in value.__dataclass_fields__))
    assert isinstance(value, Tensor)
    return torch.cat([value[start:end] for start, end in _runs(rows)]) if rows else value[:0]


def _runs(rows: Iterable[int]) -> list[tuple[int, int]]:
    """Ends of the unbroken runs of ascending numbers: slices need no index on the device."""
    found: list[tuple[int, int]] = []
    for row in rows:
        if found and found[-1][1] == row:
            found[-1] = (found[-1][0], row + 1)
        else:
            found.append((row, row + 1))
    return found


IMAGE_ROWS = ("pixels", "regions", "image_labels", "attributes", "image_seeds", "image_studies")
LONE_IMAGE_ROWS = ("descriptions", "described", "meaning")
REPORT_ROWS = ("reports", "report_labels", "report_key", "report_seeds", "report_studies")
SHARED_TEXTS = ("prompts", "attribute_texts", "denials")
"""Texts of a step that belong to no row."""
ON_THE_CPU = ("pairs", "kinds", "image_seeds", "report_seeds", "meaning", "image_studies", "report_studies")
DEVICE_FIELDS = tuple(field.name for field in fields(Batch) if field.name not in ON_THE_CPU)
"""What the model computes with; seeds stay on the CPU, where the generators are."""
