"""A model and a batch of any size, of numbers that mean nothing: for measuring and planning, without data."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from xlip.batches.batch import Batch
from xlip.batches.processor import XLIPProcessor
from xlip.batches.text_batch import TextBatch
from xlip.batches.tokenizer import train_wordpiece
from xlip.models.xlip import XLIPModel
from xlip.train.build import ModelConfig, model_of

FIRST_WORD = 60
"""Ids below are those of special tokens and letters."""


@dataclass(frozen=True)
class Shape:
    """Sizes of a step of one process."""

    model: ModelConfig = field(default_factory=ModelConfig)
    pairs: int = 8
    lone_images: int = 12
    lone_texts: int = 12
    tokens: int = 64
    """Of the longest report."""
    shortest: int = 16
    """Tokens of the shortest report; lengths are spread evenly between."""
    kinds: int = 14
    prompt_tokens: int = 8
    description_tokens: int = 14
    vocabulary: int = 8192

    @property
    def images(self) -> int:
        """Of a step."""
        return self.pairs + self.lone_images


def made_up_model(shape: Shape, device: str = "cpu") -> XLIPModel:
    """A model of these sizes, with a tokenizer of few words; on the device `meta` it takes no memory."""
    torch.manual_seed(0)
    with torch.device(device):
        model = model_of(shape.model, shape.vocabulary)
    tokenizer = train_wordpiece(["no effusion."], vocab_size=200, min_frequency=1)
    model.processor = XLIPProcessor(tokenizer, shape.model.image_size, "letterbox", shape.model.max_tokens)
    return model


def made_up_batch(shape: Shape) -> Batch:
    """A step's images, reports, prompts and labels, on the CPU."""
    generator = torch.Generator().manual_seed(0)
    images, reports = shape.images, shape.pairs + shape.lone_texts
    side, kinds, lone = shape.model.image_size, shape.kinds, shape.lone_images
    labels = torch.randint(-1, 2, (images, kinds), generator=generator).to(torch.int8)
    texts = _texts(torch.linspace(shape.shortest, shape.tokens, max(reports, 1))[:reports], shape, generator)
    nothing = TextBatch.empty(0, 1)
    return Batch(
        pixels=torch.rand(images, 1, side, side, generator=generator),
        image_labels=labels,
        reports=texts,
        report_labels=torch.randint(-1, 2, (reports, kinds), generator=generator).to(torch.int8),
        report_key=torch.arange(reports),
        prompts=_texts(torch.full((2 * kinds,), shape.prompt_tokens), shape, generator),
        pairs=shape.pairs,
        kinds=tuple(f"kind {number}" for number in range(kinds)),
        attributes=torch.zeros(images, 0),
        attribute_texts=nothing,
        image_seeds=torch.arange(images),
        report_seeds=torch.arange(reports),
        image_studies=tuple(f"image-{number}" for number in range(images)),
        report_studies=tuple(f"report-{number}" for number in range(reports)),
        descriptions=_texts(torch.full((lone,), shape.description_tokens), shape, generator),
        described=torch.ones(lone, dtype=torch.bool),
        meaning=torch.arange(1, lone + 1),
        denials=nothing,
        denied=torch.zeros(0, kinds, dtype=torch.bool),
        regions=torch.zeros(images, 0),
    )


def _texts(lengths: torch.Tensor, shape: Shape, generator: torch.Generator) -> TextBatch:
    sides = [max(3, int(length)) for length in lengths.tolist()]
    longest = max(sides, default=1)
    ids = torch.randint(FIRST_WORD, shape.vocabulary, (len(sides), longest), generator=generator)
    mask = torch.arange(longest)[None] < torch.tensor(sides, dtype=torch.long)[:, None]
    words = torch.arange(longest).expand(len(sides), -1) // 2
    group = torch.where(mask, words, -1)
    return TextBatch(ids.masked_fill(~mask, 0), mask, group, mask & (words % 3 == 0)).with_keys()
