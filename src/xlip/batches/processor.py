"""Files, arrays and strings in; tensors out: what stands between a user and `XLIPModel`."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from xlip.batches.pixels import ImageLike, as_pixels, squares
from xlip.batches.text_batch import TextBatch
from xlip.errors import XLIPError
from xlip.files import write_json
from xlip.study.record import Entity

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

CONFIG_NAME = "xlip_processor.json"


@dataclass(frozen=True)
class XLIPProcessor:
    """Image preprocessing (PROTOCOLS 4) and tokenizer, saved in the model's folder."""

    tokenizer: PreTrainedTokenizerBase
    image_size: int = 224
    preprocess: str = "letterbox"
    max_tokens: int = 128

    def pixels(self, images: ImageLike | Sequence[ImageLike]) -> Tensor:
        """One image or several -> float (n, 1, image_size, image_size) in [0, 1]."""
        several = images if isinstance(images, list | tuple) else [images]
        return as_pixels(squares(several, self.image_size, self.preprocess))

    def texts(self, texts: Sequence[str], entities: Sequence[tuple[Entity, ...]] | None = None) -> TextBatch:
        """Texts -> ids, padded to the longest, cut at `max_tokens`; with entities, aligned to sub-words by offset."""
        if not texts:
            return TextBatch.empty(0, 1)
        encoded = self.tokenizer(
            list(texts),
            truncation=True,
            max_length=self.max_tokens,
            padding=True,
            return_offsets_mapping=entities is not None,
            return_tensors="np",
        )
        ids = torch.from_numpy(encoded["input_ids"].astype(np.int64))
        mask = torch.from_numpy(encoded["attention_mask"].astype(bool))
        group = torch.full_like(ids, -1)
        is_entity = torch.zeros_like(mask)
        for row in range(len(texts) if entities is not None else 0):
            assert entities is not None
            words = encoded.word_ids(row)
            numbers, inside = group_tokens(encoded["offset_mapping"][row], words, entities[row])
            group[row], is_entity[row] = torch.from_numpy(numbers), torch.from_numpy(inside)
        return TextBatch(ids, mask, group, is_entity)

    def save_pretrained(self, folder: str | os.PathLike[str]) -> None:
        """Write the tokenizer's JSON files and `xlip_processor.json` into a folder."""
        self.tokenizer.save_pretrained(folder)
        settings = {name: getattr(self, name) for name in ("image_size", "preprocess", "max_tokens")}
        write_json(Path(folder) / CONFIG_NAME, settings)

    @classmethod
    def from_pretrained(cls, name_or_path: str | os.PathLike[str]) -> XLIPProcessor:
        """Load from a folder that `save_pretrained` wrote, or from a hub id."""
        from transformers import PreTrainedTokenizerFast
        from transformers.utils.hub import cached_file

        try:
            file = cached_file(str(name_or_path), CONFIG_NAME)
        except OSError as error:
            place = Path(name_or_path)
            why = "" if place.is_absolute() or place.exists() else f" ({error})"  # what a hub says of a path misleads
            raise XLIPError(f"{name_or_path}: expected an XLIP model, found no {CONFIG_NAME} there{why}") from error
        settings = json.loads(Path(str(file)).read_text("utf-8"))
        # Not AutoTokenizer: it would look up `model_type: xlip` among its own, and warn.
        return cls(PreTrainedTokenizerFast.from_pretrained(str(name_or_path)), **settings)


def group_tokens(
    offsets: np.ndarray[Any, Any], words: Sequence[int | None], entities: Sequence[Entity]
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Number the units that are masked together: whole entities, and whole words elsewhere.

    Args:
        offsets: (T, 2) character offsets of each token.
        words: T word numbers, None for special tokens and padding.
        entities: spans in the same text, not overlapping.

    Returns:
        group (T,), -1 for special tokens and padding; is_entity (T,), True inside an entity.
    """
    real = np.array([word is not None for word in words])
    group = np.array([-1 if word is None else word for word in words], np.int64)
    inside = np.zeros(len(group), bool)
    for number, entity in enumerate(entities, start=len(group)):
        covered = real & (offsets[:, 0] < entity.end) & (offsets[:, 1] > entity.start)
        group[covered], inside[covered] = number, True
    _, dense = np.unique(group[real], return_inverse=True)
    group[real] = dense
    return group, inside
