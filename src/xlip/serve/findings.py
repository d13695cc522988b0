"""Findings as vectors: kinds by their prompts, sentences as they are; each text is encoded once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from xlip.errors import XLIPError
from xlip.explain.asked import Asked
from xlip.runtime.encoder import Array, Encoder
from xlip.runtime.scores import TEXTS_PER_PASS, map_queries, prompt_pairs
from xlip.study.kinds import NO_FINDING, kinds
from xlip.study.prompts import PromptSet

K = TypeVar("K")
V = TypeVar("V")
MOST_TEXTS, MOST_SETS = 8192, 64
"""What is kept; the oldest goes."""


@dataclass(eq=False)
class KindSet:
    """Some kinds, ready to be compared with films; one object for all requests that ask for the same ones."""

    kinds: tuple[str, ...]
    pairs: Array
    """(K, 2, E)."""
    queries: Array = field(init=False)
    """(2 K, E), as `map_queries`."""

    def __post_init__(self) -> None:
        self.queries = map_queries(self.pairs)


class Findings:
    """Used in the model's thread alone."""

    def __init__(self, encoder: Encoder, prompts: PromptSet) -> None:
        self._encoder, self._prompts = encoder, prompts
        self._texts: OrderedDict[str, Array] = OrderedDict()
        self._pairs: dict[str, Array] = {}
        self._sets: OrderedDict[tuple[str, ...], KindSet] = OrderedDict()

    def kinds(self, kinds: Sequence[str]) -> KindSet:
        """Canonical names with their prompts.

        Raises:
            XLIPError: a kind that the prompt set has no prompts for.
        """
        key = tuple(kinds)
        if key not in self._sets:
            for kind in key:
                if kind not in self._pairs:
                    self._pairs[kind] = prompt_pairs(self.encode, self._prompts, [kind])[0]
            pairs = (
                np.array([self._pairs[kind] for kind in key], np.float32) if key else np.zeros((0, 2, 1), np.float32)
            )
            _keep(self._sets, key, KindSet(key, pairs), MOST_SETS)
        return self._sets[key]

    def sentences(self, texts: Sequence[str], neutral: str) -> Array:
        """(T, 2, E): each sentence, and what it is weighed against.

        Raises:
            XLIPError: a text that the vocabulary cannot represent.
        """
        if not texts:
            return np.zeros((0, 2, 1), np.float32)
        vectors = self.encode([*texts, neutral])
        return np.stack([vectors[:-1], np.broadcast_to(vectors[-1], vectors[:-1].shape)], axis=1)

    def asked(self, wanted: Sequence[str], texts: Sequence[str], neutral: str) -> list[Asked]:
        """Kinds and sentences that maps are made of, weighed as their scores are.

        Raises:
            XLIPError: No_Finding, which has no place in an image; or a text that the model cannot represent.
        """
        if NO_FINDING in wanted:
            raise XLIPError(f"{NO_FINDING}: the absence of findings is nowhere in an image; name a finding")
        found = [
            Asked(kinds()[kind].name, kind, *pair) for kind, pair in zip(wanted, self.kinds(wanted).pairs, strict=True)
        ]
        return found + [
            Asked(text, "", *pair) for text, pair in zip(texts, self.sentences(texts, neutral), strict=True)
        ]

    def encode(self, texts: Sequence[str]) -> Array:
        """(n, E) of texts, which may repeat: the model sees what is new."""
        new = [text for text in dict.fromkeys(texts) if text not in self._texts]
        found = {text: self._texts[text] for text in texts if text in self._texts}
        for start in range(0, len(new), TEXTS_PER_PASS):
            some = new[start : start + TEXTS_PER_PASS]
            found.update(zip(some, self._encoder.encode_texts(some), strict=True))
        for text in new:
            _keep(self._texts, text, found[text], MOST_TEXTS)
        return np.stack([found[text] for text in texts])


def _keep(kept: OrderedDict[K, V], key: K, value: V, most: int) -> None:
    kept[key] = value
    while len(kept) > most:
        kept.popitem(last=False)
