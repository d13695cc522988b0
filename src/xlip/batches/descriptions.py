"""A text for a lone image, made of its labels, boxes and masks: what lets it teach both decoders, as a pair does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

import numpy as np

from xlip.batches.regions import kind_regions
from xlip.batches.sentences import Sentence, SentenceBank
from xlip.study.labels import ABSENT, PRESENT
from xlip.study.prompts import PromptSet
from xlip.study.record import Entity, Study

Array = np.ndarray[Any, Any]
SHAPE = (64, 64)
"""Boxes are drawn on a raster of this size."""
ONE_SIDED = 0.98
"""Share of a region that must lie on one side of the image's middle before a side is said."""
ZONES = (("in the upper zone", 0.36), ("in the mid zone", 0.57), ("in the lower zone", 1.0))
"""Where a finding's centre lies, as a share of the height: lungs take up about 0.15 to 0.78 of a frontal film."""
TALLEST = 0.4
"""Share of the height from which on a region spans several zones, and none is said."""
MOST_DENIED = 2
"""Absent kinds that a description denies, at most."""


_Span = tuple[int, int, str, str, str | None]


@dataclass(frozen=True)
class Lender:
    """Where a description may take its sentences from, instead of making them."""

    bank: SentenceBank
    share: float
    """Probability that a sentence is borrowed where there is one to borrow."""


@dataclass(frozen=True)
class Description:
    """A text and the entities in it."""

    text: str
    entities: tuple[Entity, ...]
    meaning: str
    """Equal for descriptions that state the same kinds in the same places; empty where nothing is stated."""


def describe(
    study: Study, kinds: Sequence[str], prompts: PromptSet, rng: np.random.Generator, lender: Lender | None = None
) -> Description | None:
    """Sentences that state every present kind, with side and zone where boxes or masks tell them, and deny some others.

    The paper prompts an unpaired image with its kind; the side and zone are ours. Templates and synonyms are the prompt
    set's; with a `lender`, a share of the sentences are those of reports that state or deny the same (`SentenceBank`).
    None where no label among `kinds` is known.
    """
    known = {kind: study.labels[kind] for kind in kinds if kind in study.labels}
    present = [kind for kind, state in known.items() if state == PRESENT]
    absent = [kind for kind, state in known.items() if state == ABSENT]
    if not present and not absent:
        return None
    places = where(study)
    sentences = []
    for kind in present:
        borrowed = lender.bank.stated(kind, *places.get(kind, ("", "")), rng) if _borrows(lender, rng) else None
        sentences.append(_spanned(borrowed) if borrowed else _stated(kind, places.get(kind, ("", "")), prompts, rng))
    count = int(rng.integers(0 if present else 1, MOST_DENIED + 1))
    for kind in [str(kind) for kind in rng.permutation(absent)[:count]] if absent else []:
        borrowed = lender.bank.denied(frozenset(absent), rng) if _borrows(lender, rng) else None
        sentences.append(_spanned(borrowed) if borrowed else _denied(kind, prompts, rng))
    text, entities = "", list[Entity]()
    for index in rng.permutation(len(sentences)):
        sentence, spans = sentences[index]
        start = len(text) + bool(text)
        text = f"{text} {sentence}".strip()
        entities += [Entity(start + low, start + high, *rest) for low, high, *rest in spans]
    meaning = "; ".join(sorted(" ".join((kind, *places.get(kind, ("", "")))).strip() for kind in present))
    return Description(text, tuple(entities), meaning)


def _borrows(lender: Lender | None, rng: np.random.Generator) -> TypeGuard[Lender]:
    return lender is not None and bool(rng.random() < lender.share)


def _spanned(sentence: Sentence) -> tuple[str, list[_Span]]:
    """A borrowed sentence as the others are built: closed, and with its entities' spans."""
    spans: list[_Span] = [(one.start, one.end, one.type, one.assertion, one.kind) for one in sentence.entities]
    return _closed(sentence.text), spans


def where(study: Study) -> dict[str, tuple[str, str]]:
    """Kind -> (side, zone) as its masks or boxes tell, '' where they do not; sides are the patient's."""
    regions = kind_regions(study.masks, study.boxes, lambda: SHAPE)
    found = {kind: (_side(region), _zone(region)) for kind, region in regions.items() if region.any()}
    # What spans the middle (a heart, both lungs) has no zone worth saying.
    return {kind: (side, zone) for kind, (side, zone) in found.items() if side}


def _side(region: Array) -> str:
    # A frontal film shows the patient's right on its left.
    on_the_left = float(region[:, : region.shape[1] // 2].sum() / region.sum())
    return "right" if on_the_left >= ONE_SIDED else "left" if on_the_left <= 1 - ONE_SIDED else ""


def _zone(region: Array) -> str:
    rows = np.flatnonzero(region.any(1))
    if (rows[-1] - rows[0] + 1) / len(region) > TALLEST:
        return ""
    centre = (region.sum(1) @ (np.arange(len(region)) + 0.5)) / region.sum() / len(region)
    return next(words for words, end in ZONES if centre <= end)


def _stated(kind: str, place: tuple[str, str], prompts: PromptSet, rng: np.random.Generator) -> tuple[str, list[_Span]]:
    """A positive prompt of the kind, its side before the phrase and its zone behind it; and the entities' spans."""
    text = _closed(_pick(prompts.positive(kind), rng))
    phrase = _phrase(text, kind, prompts)
    start = text.find(phrase) if phrase else -1
    if start < 0:
        return text, [(0, len(text) - 1, "finding", "present", kind)]
    side, zone = place
    # 'an enlarged heart' takes no side: the article would have to follow it.
    before = f"{side} " if side and not phrase.startswith(("a ", "an ")) else ""
    after = f" {zone}" if zone else ""
    text = text[:start] + before + phrase + after + text[start + len(phrase) :]
    finding = start + len(before)
    spans: list[_Span] = [(finding, finding + len(phrase), "finding", "present", kind)]
    if before:
        spans.insert(0, (start, start + len(side), "location", "present", None))
    if after:
        end = finding + len(phrase) + len(after)
        spans.append((end - len(zone.removeprefix("in the ")), end, "location", "present", None))
    return text, spans


def _denied(kind: str, prompts: PromptSet, rng: np.random.Generator) -> tuple[str, list[_Span]]:
    text = _closed(_pick(prompts.negative(kind), rng))
    phrase = _phrase(text, kind, prompts)
    start = text.find(phrase) if phrase else -1
    spans: list[_Span] = [(start, start + len(phrase), "finding", "absent", kind)] if start >= 0 else []
    return text, spans


def _phrase(text: str, kind: str, prompts: PromptSet) -> str:
    """The kind's longest synonym that the text holds; '' where it names the kind by none."""
    found = [phrase for phrase in prompts.phrases(kind) if phrase in text]
    return max(found, key=len, default="")


def _closed(text: str) -> str:
    return text if text.endswith(".") else f"{text}."


def _pick(texts: Sequence[str], rng: np.random.Generator) -> str:
    return texts[int(rng.integers(len(texts)))]
