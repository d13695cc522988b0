"""What the components of the pipeline pass to one another: one `Reading` per report, in `doc.user_data[READING]`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

READING = "xlip"
OTHER = "\u00b7"
"""Stands for every word outside the lexicon: spaCy keeps each distinct string for ever, a million reports must not."""


class Cue(NamedTuple):
    """A cue or break in tokens [first, last)."""

    first: int
    last: int
    group: str


@dataclass(slots=True)
class Mention:
    """An entity in the making, in tokens [first, last)."""

    first: int
    last: int
    type: str
    group: str
    kind: str | None
    assertion: str = "present"
    settled: bool = False
    """Whether the words carry their own assertion, which cues do not change."""
    rule: str = ""
    """What decided the assertion and the kind, for `--explain`."""
    locations: list[int] = field(default_factory=list)
    severities: list[int] = field(default_factory=list)


class Sentence(NamedTuple):
    """What stands in tokens [first, last)."""

    first: int
    last: int
    imposed: str
    """The assertion that the section imposes; 'present' imposes nothing."""
    mentions: list[Mention]
    cues: list[Cue]


@dataclass(slots=True)
class Reading:
    """A report as the tagger sees it."""

    text: str
    words: list[str]
    """The folded words of the `Doc`; reading them from there would cost a spaCy `Token` each."""
    starts: list[int]
    """Character where each token starts."""
    ends: list[int]
    """Character after each token."""
    mentions: list[Mention] = field(default_factory=list)
    """In order, none overlapping."""
    cues: list[Cue] = field(default_factory=list)
    """In order, none overlapping each other; a cue may lie inside a mention."""
    borders: list[tuple[int, int, str]] = field(default_factory=list)
    """Of each sentence: first token, token after the last, assertion that its section imposes."""

    _made: tuple[tuple[int, ...], list[Sentence]] = field(default=((), []), repr=False)
    """The sentences and what they were made of."""

    def sentences(self) -> list[Sentence]:
        """The sentences that mention something, in order; every component asks, and they are made once."""
        of = (id(self.mentions), len(self.mentions), id(self.cues), len(self.cues), id(self.borders), len(self.borders))
        if self._made[0] != of:
            self._made = of, list(self._sentences())
        return self._made[1]

    def _sentences(self) -> Iterator[Sentence]:
        mentions, cues = iter(self.mentions), iter(self.cues)
        mention, cue = next(mentions, None), next(cues, None)
        for first, last, imposed in self.borders:
            sentence = Sentence(first, last, imposed, [], [])
            while mention is not None and mention.first < last:
                sentence.mentions.append(mention)
                mention = next(mentions, None)
            while cue is not None and cue.first < last:
                sentence.cues.append(cue)
                cue = next(cues, None)
            if sentence.mentions:
                yield sentence
