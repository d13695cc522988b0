"""Adapter: any token-classification model of `transformers` (a local folder or a hub id) as a tagger."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from xlip.errors import XLIPError
from xlip.reports.tagger.naming import kind_of_words, without_overlaps
from xlip.study.record import ENTITY_TYPES, Entity

BATCH = 16
"""Reports that go through the model together."""
_TYPES = (
    (re.compile(r"neg|absent|obs-da|definitely absent", re.I), "finding", "absent"),
    (re.compile(r"uncertain|obs-u|possib", re.I), "finding", "uncertain"),
    (re.compile(r"obs|finding|disease|problem|disorder|symptom|condition|diagnos|pathol", re.I), "finding", "present"),
    (re.compile(r"anat|body|organ|structure", re.I), "anatomy", "present"),
    (re.compile(r"loc|direction|side|lateral", re.I), "location", "present"),
    (re.compile(r"sever|modif|descript|quant|degree", re.I), "severity", "present"),
    (re.compile(r"device|implant|line|tube", re.I), "device", "present"),
    (re.compile(r"proced|treat|surg|test", re.I), "procedure", "present"),
)
"""The first pattern that a label matches gives the type and the assertion; a label that matches none is left out."""


class TokenClassificationTagger:
    """Entities of a model's labels; kinds by our lexicon, which also judges findings that the labels leave open."""

    def __init__(self, path_or_id: str) -> None:
        """Load the model.

        Raises:
            XLIPError: nothing there, not a token-classification model, or no label that we can place.
        """
        from transformers import pipeline

        try:
            load: Any = pipeline
            self._model: Any = load("token-classification", path_or_id, aggregation_strategy="first", device=-1)
        except (OSError, ValueError, KeyError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise XLIPError(
                f"tagger hf:{path_or_id}: expected a token-classification model (a local folder, or a hub id and a "
                f"network); {reason}"
            ) from error
        self.id = f"hf:{path_or_id}@{getattr(self._model.model.config, '_commit_hash', None) or 'local'}"
        named: dict[int, str] = self._model.model.config.id2label
        labels = [re.sub(r"^[BILUES]-", "", label) for label in named.values()]
        self.labels = {label: placed for label in labels if (placed := place_label(label)) is not None}
        if not self.labels:
            raise XLIPError(
                f"tagger hf:{path_or_id}: expected labels that name {', '.join(ENTITY_TYPES)}; "
                f"got {', '.join(sorted(set(labels)))}; set id2label in its config.json"
            )

    def tag_all(self, texts: Iterable[str]) -> Iterator[tuple[Entity, ...]]:
        """Entities of each text, in order; a long text is cut into overlapping windows of the model's length."""
        texts = iter(texts)
        while batch := list(islice(texts, BATCH)):
            for text in batch:
                yield self._tag(text)

    def _tag(self, text: str) -> tuple[Entity, ...]:
        if not text.strip():
            return ()
        stride = min(32, max(0, self._window() // 4))
        found = []
        for item in self._model(text, stride=stride) if self._model.tokenizer.is_fast else self._model(text):
            placed = self.labels.get(item["entity_group"])
            start, end = _trimmed(text, int(item["start"]), int(item["end"]))
            if placed is None or start >= end:
                continue
            type_, assertion = placed
            kind = kind_of_words(text[start:end]) if type_ in ("finding", "device") else None
            found.append(Entity(start, end, type_, assertion, kind))
        return without_overlaps(found)

    def _window(self) -> int:
        return int(min(self._model.tokenizer.model_max_length, 512))


def place_label(label: str) -> tuple[str, str] | None:
    """(entity type, assertion) of a model's label, or None where it means none of ours."""
    plain = re.sub(r"^[BILUES]-", "", label)
    return next(((type_, assertion) for pattern, type_, assertion in _TYPES if pattern.search(plain)), None)


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    """The span without white space at its ends, which byte-level tokenizers count in."""
    words = text[start:end]
    return start + len(words) - len(words.lstrip()), end - (len(words) - len(words.rstrip()))
