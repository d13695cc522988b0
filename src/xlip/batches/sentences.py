"""Sentences of reports by what they state, so that a lone image can be described in the words of lone reports."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from xlip.study.record import Entity, Study

_END = re.compile(r"[.!?](?=\s|$)|\n")
"""Where a sentence ends: a point inside a number is followed by a digit."""
SIDE_WORDS = {"left": "left", "left-sided": "left", "right": "right", "right-sided": "right"}
ZONE_WORDS = {
    "upper": "in the upper zone",
    "apex": "in the upper zone",
    "apical": "in the upper zone",
    "mid": "in the mid zone",
    "middle": "in the mid zone",
    "hilum": "in the mid zone",
    "perihilar": "in the mid zone",
    "lower": "in the lower zone",
    "base": "in the lower zone",
    "basal": "in the lower zone",
    "basilar": "in the lower zone",
}
"""Zones are named as `xlip.batches.descriptions` names them."""
PLACE_NOUNS = frozenset({"zone", "lobe", "region", "lung", "field", "aspect", "portion", "area", "of", "the", "and"})
LONGEST = 160
"""Characters of a sentence that is worth keeping."""
MOST_REPORTS = 20_000
"""Reports that are read for a bank, spread evenly over the sets."""


@dataclass(frozen=True)
class Sentence:
    """One sentence, its entities counted from its own start."""

    text: str
    entities: tuple[Entity, ...]

    @property
    def bearing(self) -> list[Entity]:
        """The entities that say something of a kind."""
        return [one for one in self.entities if one.kind]

    @property
    def denied(self) -> frozenset[str]:
        """The kinds whose absence it states, where it states or doubts none; else empty."""
        if any(one.assertion != "absent" for one in self.bearing):
            return frozenset()
        return frozenset(str(one.kind) for one in self.bearing)


Key = tuple[str, str, str]
"""Kind, side ('left', 'right' or '') and zone (as descriptions say it, or '')."""


class SentenceBank:
    """Sentences that state one kind and nothing else, and sentences that only deny, of the reports of a training run.

    A few templates cannot teach the decoders how reports speak, and lone reports have no image. A labelled lone image
    may borrow a sentence of any report that states the same kind at a place that the image's boxes agree with. Its
    degree is not checked: 'small' may be said of a large effusion. Not in the paper, whose unpaired images get prompts.
    """

    def __init__(self, studies: Iterable[Study]) -> None:
        self._stated: dict[Key, list[Sentence]] = {}
        denials: dict[str, tuple[Sentence, frozenset[str]]] = {}
        for study in studies:
            for sentence in sentences(study):
                if len(sentence.text) > LONGEST:
                    continue
                if denied := sentence.denied:
                    denials.setdefault(sentence.text, (sentence, denied))
                elif (key := _stated_key(sentence)) is not None:
                    self._stated.setdefault(key, []).append(sentence)
        self._denials = list(denials.values())

    def stated(self, kind: str, side: str, zone: str, rng: np.random.Generator) -> Sentence | None:
        """A sentence that states a kind and says no more of its place than is known; None where there is none."""
        keys = {(kind, a, b) for a in (side, "") for b in (zone, "")}
        found = [self._stated[key] for key in sorted(keys) if key in self._stated]
        counts = [len(one) for one in found]
        if not counts:
            return None
        number = int(rng.integers(sum(counts)))
        for sentences_, count in zip(found, counts, strict=True):
            if number < count:
                return sentences_[number]
            number -= count
        raise AssertionError("a number below the sum of counts lies in one of them")

    def denied(self, absent: frozenset[str], rng: np.random.Generator, tries: int = 4) -> Sentence | None:
        """A sentence that denies nothing but kinds of `absent`, if one of `tries` drawn ones does."""
        for _ in range(tries if self._denials else 0):
            sentence, kinds = self._denials[int(rng.integers(len(self._denials)))]
            if kinds <= absent:
                return sentence
        return None


def sentences(study: Study) -> list[Sentence]:
    """The sentences of a report, white space folded, each with the entities that lie inside it."""
    report = study.report or ""
    ends = [match.end() for match in _END.finditer(report)] + [len(report)]
    found = []
    for start, end in zip([0, *ends], ends, strict=False):
        inside = [one for one in study.entities if start <= one.start and one.end <= end]
        text, places = _folded(report[start:end])
        if text:
            moved = (
                Entity(places[e.start - start], places[e.end - start], e.type, e.assertion, e.kind) for e in inside
            )
            found.append(Sentence(text, tuple(moved)))
    return found


def _folded(text: str) -> tuple[str, list[int]]:
    """The text with runs of white space as one space and none at the ends, and where each of its places went."""
    made, places = "", []
    for letter in text:
        places.append(len(made))
        if not letter.isspace():
            made += letter
        elif made and not made.endswith(" "):
            made += " "
    stripped = made.rstrip()
    return stripped, [min(place, len(stripped)) for place in [*places, len(made)]]


def _stated_key(sentence: Sentence) -> Key | None:
    """What a sentence states where it is one present kind at a place that is understood; else None."""
    bearing = sentence.bearing
    if {one.assertion for one in bearing} != {"present"} or len({one.kind for one in bearing}) != 1:
        return None
    sides, zones = set[str](), set[str]()
    for one in sentence.entities:
        if one.type == "location":
            for word in re.split(r"[\s,/]+", sentence.text[one.start : one.end].lower()):
                if word in SIDE_WORDS:
                    sides.add(SIDE_WORDS[word])
                elif word in ZONE_WORDS:
                    zones.add(ZONE_WORDS[word])
                elif word not in PLACE_NOUNS:
                    return None
    if len(sides) > 1 or len(zones) > 1:
        return None
    return str(bearing[0].kind), next(iter(sides), ""), next(iter(zones), "")
