"""Files, arrays and strings in; tensors out: what stands between a user and `XLIPModel`."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from xlip.batches.pixels import as_pixels
from xlip.batches.place import checked_place
from xlip.batches.text_batch import TextBatch
from xlip.errors import XLIPError
from xlip.files import reading, write_json
from xlip.images.any_form import ImageLike, several_images, squares
from xlip.runtime.texts import checked_texts
from xlip.study.record import Entity

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

CONFIG_NAME = "xlip_processor.json"
SETTINGS: dict[str, type] = {"image_size": int, "preprocess": str, "max_tokens": int}


@dataclass(frozen=True)
class XLIPProcessor:
    """Image preprocessing (docs/protocols.md, preprocessing) and tokenizer, saved in the model's folder."""

    tokenizer: PreTrainedTokenizerBase
    image_size: int = 224
    preprocess: str = "letterbox"
    max_tokens: int = 128

    def __call__(
        self,
        images: ImageLike | Iterable[ImageLike] | None = None,
        text: str | Iterable[str] | None = None,
        return_tensors: str = "pt",
    ) -> dict[str, Tensor]:
        """As processors of `transformers` are called: `pixel_values`, and `input_ids` with `attention_mask`.

        Raises:
            XLIPError: other tensors than torch's are asked for, or a fault of `pixels` or `queries`.
        """
        if return_tensors != "pt":
            raise XLIPError(f"return_tensors: expected 'pt' (torch), got {return_tensors!r}")
        found = {} if images is None else {"pixel_values": self.pixels(images)}
        if text is not None:
            batch = self.queries(text)
            found |= {"input_ids": batch.ids, "attention_mask": batch.mask.long()}
        return found

    def pixels(self, images: ImageLike | Iterable[ImageLike]) -> Tensor:
        """One image or several -> float (n, 1, image_size, image_size) in [0, 1]."""
        return as_pixels(squares(several_images(images), self.image_size, self.preprocess))

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
        return TextBatch(ids, mask, group, is_entity).with_keys()

    def queries(self, texts: str | Iterable[str]) -> TextBatch:
        """Texts of a user's own -> ids; a warning where words are unknown or the end is cut off.

        Raises:
            XLIPError: no text; or one most of whose words the vocabulary lacks.
        """
        tokenizer = self.tokenizer
        room = self.max_tokens - tokenizer.num_special_tokens_to_add()
        return self.texts(checked_texts(texts, tokenizer.tokenize, unknown=tokenizer.unk_token, room=room))

    def save_pretrained(self, folder: str | os.PathLike[str]) -> None:
        """Write the tokenizer's JSON files and `xlip_processor.json` into a folder."""
        self.tokenizer.save_pretrained(folder)
        write_json(Path(folder) / CONFIG_NAME, {name: getattr(self, name) for name in SETTINGS})

    @classmethod
    def from_pretrained(cls, name_or_path: str | os.PathLike[str], **options: Any) -> XLIPProcessor:
        """Load from a folder that `save_pretrained` wrote, or from a hub id; `options`, which `transformers` passes on,
        are ignored.

        Raises:
            XLIPError: nothing there, or damaged.
        """
        checked_place(name_or_path)
        from transformers import PreTrainedTokenizerFast
        from transformers.utils.hub import cached_file

        try:
            file = cached_file(str(name_or_path), CONFIG_NAME)
        except OSError as error:
            place = Path(name_or_path)
            why = "" if place.is_absolute() or place.exists() else f" ({error})"  # what a hub says of a path misleads
            raise XLIPError(f"{name_or_path}: expected an XLIP model, found no {CONFIG_NAME} there{why}") from error
        with reading(file):
            made = cls(None, **json.loads(Path(str(file)).read_text("utf-8")))  # type: ignore[arg-type]
            settings = {name: kind(getattr(made, name)) for name, kind in SETTINGS.items()}
        with reading(f"{name_or_path}: its tokenizer"):
            # Not AutoTokenizer: it would look up `model_type: xlip` among its own, and warn.
            tokenizer = PreTrainedTokenizerFast.from_pretrained(str(name_or_path))
        if None in (tokenizer.pad_token_id, tokenizer.unk_token_id):
            raise XLIPError(
                f"{name_or_path}: its tokenizer names no token for padding or unknown words; copy its "
                "tokenizer_config.json again"
            )
        return cls(tokenizer, **settings)


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
