"""The component that reads a kind from two words: 'enlarged' about the heart, 'calcified' about the aorta, 'normal'."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from spacy.language import Language
from spacy.tokens import Doc

from xlip.reports.tagger.lexicon import Lexicon, load_lexicon
from xlip.reports.tagger.reading import READING, Cue, Mention, Reading, Sentence

REACH_BACK, REACH_AHEAD = 12, 7
"""Tokens between a descriptor and its anatomy: 'the heart ... is enlarged', 'enlargement of the ... heart'."""

_SEPARATORS = {",", "and"}
ANOTHER_CLAUSE = 8
"""What a comma or 'and' on the way costs, in tokens: 'the heart is enlarged, pulmonary vessels are ...'."""


def make_combine(nlp: Language, name: str, language: str) -> CombineComponent:
    """For `nlp.add_pipe('xlip_combine')`."""
    return CombineComponent(load_lexicon(language))


class CombineComponent:
    """Gives descriptors and anatomies the kind that they mean together."""

    def __init__(self, lexicon: Lexicon) -> None:
        self._kinds, self._normal = lexicon.combine, lexicon.normal_at
        self._descriptors = {descriptor for descriptor, _ in lexicon.combine}

    def __call__(self, doc: Doc) -> Doc:
        """Judge every descriptor of every sentence."""
        reading: Reading = doc.user_data[READING]
        for sentence in reading.sentences():
            stops = [cue for cue in sentence.cues if cue.group == "stop"]
            for number, mention in enumerate(sentence.mentions):
                if mention.group == "normal":
                    self._settle_normal(sentence, number, stops)
                elif mention.group in self._descriptors:
                    self._settle(reading.words, sentence.mentions, number, stops)
        return doc

    def _settle(self, words: list[str], inside: list[Mention], number: int, stops: Sequence[Cue]) -> None:
        """The nearest anatomy with a rule, ahead ('enlarged heart') or back ('heart is enlarged')."""
        word = inside[number]
        best: tuple[int, str, Mention] | None = None
        for place, other in enumerate(inside):
            kind = self._kinds.get((word.group, other.group))
            if kind is None or _between(stops, word, other) or _belongs_to_next(inside, place, number):
                continue
            ahead = other.first >= word.last
            first, last = (word.last, other.first) if ahead else (other.last, word.first)
            if last - first > (REACH_AHEAD if ahead else REACH_BACK):
                continue
            cost = last - first + ANOTHER_CLAUSE * (not _SEPARATORS.isdisjoint(words[first:last]))
            if best is None or cost < best[0]:
                best = (cost, kind, other)
        if best is not None:
            word.kind, word.type = best[1], "finding"
            word.rule = f"{word.group} + {best[2].group}"

    def _settle_normal(self, sentence: Sentence, number: int, stops: Sequence[Cue]) -> None:
        """Every anatomy of the list before it ('heart and aorta are normal'), else of the list after it."""
        inside = sentence.mentions
        word = inside[number]
        if any(cue.group == "absent_before" and 0 <= word.first - cue.last < 3 for cue in sentence.cues):
            return  # 'not normal' says nothing of what is wrong
        chosen = _run(reversed(inside[:number]), word, stops) or _run(inside[number + 1 :], word, stops)
        for anatomy in chosen:
            if anatomy.group in self._normal and anatomy.kind is None:
                anatomy.kind, anatomy.assertion = self._normal[anatomy.group]
                anatomy.settled, anatomy.rule = True, f"normal + {anatomy.group}"


def _belongs_to_next(inside: list[Mention], place: int, number: int) -> bool:
    """Whether an anatomy ahead of a descriptor only names the place of a finding: 'calcified hilar granuloma'."""
    if place <= number or place + 1 >= len(inside):
        return False
    following = inside[place + 1]
    return following.type == "finding" and following.first == inside[place].last


def _run(mentions: Iterable[Mention], word: Mention, stops: Sequence[Cue]) -> list[Mention]:
    """Anatomies in a row, places and degrees between them, up to a finding, a judgement or a stop."""
    found: list[Mention] = []
    for mention in mentions:
        if mention.type not in ("anatomy", "location", "severity") or mention.group == "normal":
            break
        if _between(stops, word, mention):
            break
        if mention.type == "anatomy":
            found.append(mention)
    return found


def _between(stops: Sequence[Cue], one: Mention, other: Mention) -> bool:
    first, last = (one.last, other.first) if one.first < other.first else (other.last, one.first)
    return any(first <= stop.first < last for stop in stops)


Language.factory("xlip_combine", default_config={"language": "en"}, func=make_combine)
