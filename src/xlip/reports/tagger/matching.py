"""The component that finds the phrases of the lexicon: entities, cues and section headers."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping
from typing import Any

from spacy.language import Language
from spacy.matcher import PhraseMatcher
from spacy.tokens import Doc

from xlip.reports.tagger.lexicon import MIMIC, Label, Lexicon, load_lexicon
from xlip.reports.tagger.reading import READING, Cue, Mention, Reading

LONGEST_SENTENCE = 120
"""Tokens. A text without full stops is cut here: no cue reaches that far, and the work stays linear in the length."""
_BREAK = re.compile(
    r"\n\s*\n|\n\s*(?:[-*\u2022]|\d{1,2}[.)])|<(?:br|p|li|div|tr|td|h\d)\b|</(?:p|li|div|tr|td|h\d)>", re.I
)
_LINE = re.compile(r"\n\s*$")

Span = tuple[int, int, Label]


def make_matcher(nlp: Language, name: str, language: str) -> PhraseComponent:
    """For `nlp.add_pipe('xlip_matcher')`."""
    return PhraseComponent(nlp.vocab, load_lexicon(language))


class PhraseComponent:
    """Fills the reading's mentions, cues and sentences."""

    def __init__(self, vocab: Any, lexicon: Lexicon) -> None:
        self.matcher = PhraseMatcher(vocab, validate=False)
        self._entities, self._cues = self._add(lexicon.phrases, "e"), self._add(lexicon.cues, "c")

    def _add(self, phrases: Mapping[tuple[str, ...], Label], prefix: str) -> dict[int, Label]:
        by_label: dict[Label, list[Doc]] = {}
        for words, label in phrases.items():
            by_label.setdefault(label, []).append(Doc(self.matcher.vocab, words=list(words)))
        keys = {}
        for number, (label, docs) in enumerate(by_label.items()):
            self.matcher.add(f"{prefix}{number}", docs)
            keys[self.matcher.vocab.strings[f"{prefix}{number}"]] = label
        return keys

    def __call__(self, doc: Doc) -> Doc:
        """Match; of overlapping phrases the longest counts, among equals the first."""
        reading: Reading = doc.user_data[READING]
        words = reading.words
        cuts = list(_cuts(reading, words))
        entities, cues = self._spans(doc, cuts if "\n" in reading.text or "<" in reading.text else [])
        spans = list(longest(entities))
        heads = [span for span in spans if span[2].role == "section" and _is_header(reading, words, span)]
        reading.mentions = [
            Mention(start, end, label.role, label.group, label.kind)
            if label.group != MIMIC
            else Mention(start, end, label.role, label.group, label.kind, "absent", settled=True, rule="a mimic's name")
            for start, end, label in spans
            if label.role != "section"
        ]
        reading.cues = [Cue(start, end, label.group) for start, end, label in longest(cues)]
        if "?" in words:
            reading.cues = sorted([*reading.cues, *_questions(reading, words)])
        reading.borders = list(_sentences(cuts, heads, len(words)))
        return doc

    def _spans(self, doc: Doc, cuts: list[int]) -> tuple[list[Span], list[Span]]:
        """Phrases of entities and of cues; none that runs over the end of a line that ends a sentence."""
        entities: list[Span] = []
        cues: list[Span] = []
        for key, start, end in self.matcher(doc):
            if cuts and bisect_right(cuts, start) < bisect_left(cuts, end):
                continue
            label = self._entities.get(key)
            if label is not None:
                entities.append((start, end, label))
            else:
                cues.append((start, end, self._cues[key]))
        return entities, cues


def longest(spans: list[Span]) -> Iterator[Span]:
    """Longest first, leftmost first, none overlapping; yielded in order."""
    taken = bytearray(max((end for _, end, _ in spans), default=0))
    kept = []
    for span in sorted(spans, key=lambda item: (item[0] - item[1], item[0])):
        start, end, _ = span
        # Equal or longer spans came before: one that overlaps must cover an end of this one.
        if not taken[start] and not taken[end - 1]:
            taken[start:end] = b"\x01" * (end - start)
            kept.append(span)
    kept.sort(key=lambda item: item[0])
    return iter(kept)


def _is_header(reading: Reading, words: list[str], span: Span) -> bool:
    """'Findings:' at the start of the text, of a line or after a full stop; not 'no significant findings: ...'."""
    start, end, _ = span
    if end >= len(words) or words[end] != ":":
        return False
    return (
        start == 0
        or words[start - 1] in ".;!?"
        or "\n" in reading.text[reading.ends[start - 1] : reading.starts[start]]
    )


def _sentences(cuts: list[int], heads: list[Span], count: int) -> Iterator[tuple[int, int, str]]:
    """Borders of the sentences of `count` tokens, with what their section imposes."""
    cuts = sorted({*cuts, *(start for start, _, _ in heads), *(end + 1 for _, end, _ in heads)})
    places, states = [start for start, _, _ in heads], [label.group for _, _, label in heads]
    first = 0
    for cut in (*cuts, count):
        while first < cut:
            last = min(cut, first + LONGEST_SENTENCE)
            number = bisect_right(places, first)
            yield first, last, states[number - 1] if number else "present"
            first = last


def _questions(reading: Reading, words: list[str]) -> Iterator[Cue]:
    """'? pneumonia' doubts what follows; 'pneumonia?' and 'pneumonia (?)' what stands before."""
    for number, word in enumerate(words):
        if word == "?":
            yield Cue(
                number, number + 1, "uncertain_before" if _asks_ahead(reading, words, number) else "uncertain_after"
            )


def _asks_ahead(reading: Reading, words: list[str], number: int) -> bool:
    """Whether a question mark belongs to the word after it: it stands apart from the one before."""
    if number + 1 == len(words) or words[number + 1] == ")":
        return False
    apart = number == 0 or reading.starts[number] > reading.ends[number - 1] or words[number - 1] in "(,;:/?-"
    return apart and "\n" not in reading.text[reading.ends[number] : reading.starts[number + 1]]


def _cuts(reading: Reading, words: list[str]) -> Iterator[int]:
    """Tokens that start a sentence."""
    text, starts, ends = reading.text, reading.starts, reading.ends
    for number in range(len(words) - 1):
        gap = text[ends[number] : starts[number + 1]]
        if words[number] in ".?!;":
            if words[number] == "?" and (words[number + 1] == ")" or _asks_ahead(reading, words, number)):
                continue
            if gap or words[number] != "." or _runs_on(text[ends[number] :][:2], words[number - 1]):
                yield number + 1
        elif len(gap) > 1 or gap == "\n":
            following = text[starts[number + 1] : ends[number + 1]]
            if _BREAK.search(gap + following) or (_LINE.search(gap) and _opens_line(following, words[number])):
                yield number + 1


def _runs_on(following: str, before: str) -> bool:
    """Whether a sentence follows a full stop without a space ('effusion.Heart'), unlike '1.5' and 'e.g.'."""
    return following[:1].isupper() and following[1:].islower() and len(before) > 2


def _opens_line(word: str, before: str) -> bool:
    """Whether a word after a line break starts a sentence; wrapped lines go on in lower case, or in capitals."""
    return word[0].isupper() and not (len(word) > 1 and word.isupper()) and before not in (",", "no", "or", "and")


Language.factory("xlip_matcher", default_config={"language": "en"}, func=make_matcher)
