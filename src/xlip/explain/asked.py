"""What a map is to show: a kind, a text or a report's sentences, as embeddings that speak for it and against it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np

from xlip.errors import XLIPError
from xlip.reports.entities import tag
from xlip.reports.sections import sentences
from xlip.runtime.encoder import Array, Encoder
from xlip.runtime.scores import NEUTRAL, prompt_pairs
from xlip.study.kinds import NO_FINDING, canonical, is_kind, kinds
from xlip.study.prompts import PromptSet, load_prompts
from xlip.study.record import Entity


@dataclass(frozen=True)
class Asked:
    """Words, and the direction of the joint space that they stand for."""

    text: str
    """As the user wrote it."""
    kind: str
    """Canonical, separated by commas where a sentence names several; '' where the words name none."""
    positive: Array
    """(E,), L2-normalised."""
    negative: Array
    """(E,), L2-normalised: what it is weighed against."""
    denied: bool = False
    """Whether the text says that the finding is not there ('no effusion'): the map is that of the finding."""

    @property
    def direction(self) -> Array:
        """(E,): positive less negative."""
        return self.positive - self.negative

    @property
    def pair(self) -> Array:
        """(2, E), as `prompt_pairs`."""
        return np.stack([self.positive, self.negative])


def ask(encoder: Encoder, words: Sequence[str], prompts: str = "xlip") -> list[Asked]:
    """Each word or text as a direction.

    A kind's name (or alias) stands for its positive prompts against its negative ones. Any other text is weighed
    against the negative prompts of the kinds that it names, or against a neutral text where it names none; a text that
    denies every kind that it names stands for these kinds.

    Args:
        encoder: for its texts.
        words: kinds and texts, in any order.
        prompts: a shipped prompt set or a YAML file.

    Raises:
        XLIPError: an empty text, No_Finding (which has no place in an image), a text that the model's vocabulary lacks.
    """
    chosen = load_prompts(prompts)
    return [_of_kind(encoder, word, chosen) if is_kind(word) else _of_text(encoder, word, chosen) for word in words]


def ask_report(encoder: Encoder, report: str, prompts: str = "xlip") -> list[Asked]:
    """The sentences of a report that name a finding, each as a direction; the others say nothing that could be shown.

    Raises:
        XLIPError: no sentence names a finding, or the tagger that finds them is not installed.
    """
    if not _has_tagger():
        raise XLIPError(
            "report: its sentences are told apart by the tagger; run `pip install 'xlip[train]'`, or use --text"
        )
    chosen = load_prompts(prompts)
    found = [sentence for sentence in sentences(report) if _named(_findings(sentence))]
    if not found:
        raise XLIPError("report: no sentence that names a finding in a language that the tagger knows; use --text")
    return [_of_text(encoder, sentence, chosen) for sentence in found]


def _of_kind(encoder: Encoder, word: str, prompts: PromptSet) -> Asked:
    kind = canonical(word)
    if kind == NO_FINDING:
        raise XLIPError(f"{word!r}: the absence of findings is nowhere in an image; name a finding")
    positive, negative = prompt_pairs(encoder.encode_texts, prompts, [kind])[0]
    return Asked(kinds()[kind].name, kind, positive, negative)


def _of_text(encoder: Encoder, text: str, prompts: PromptSet) -> Asked:
    if not text.strip():
        raise XLIPError("text: expected words to look for, got an empty text")
    entities = _findings(text)
    named = _named(entities)
    if not named:
        positive, negative = encoder.encode_texts([text, NEUTRAL])
        return Asked(text, "", positive, negative)
    pairs = prompt_pairs(encoder.encode_texts, prompts, named)
    against = _unit(pairs[:, 1].mean(0))
    if all(entity.assertion == "absent" for entity in entities):
        return Asked(text, ",".join(named), _unit(pairs[:, 0].mean(0)), against, denied=True)
    return Asked(text, ",".join(named), encoder.encode_texts([text])[0], against)


def _findings(text: str) -> list[Entity]:
    """What a text says of kinds; nothing where the tagger is not installed (a server needs no spaCy)."""
    if not _has_tagger():
        return []
    return [entity for entity in tag(text) if entity.kind not in (None, NO_FINDING)]


def _has_tagger() -> bool:
    return find_spec("spacy") is not None


def _named(entities: Sequence[Entity]) -> list[str]:
    return list(dict.fromkeys(entity.kind for entity in entities if entity.kind))


def _unit(vector: Array) -> Array:
    return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-12), np.float32)
