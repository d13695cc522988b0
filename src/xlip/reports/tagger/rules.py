"""The rule tagger: a blank spaCy pipeline of five components of ours, and what it makes of a text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING

from xlip.study.record import Entity

if TYPE_CHECKING:
    from spacy.language import Language

    from xlip.reports.tagger.reading import Mention, Reading

VERSION = "4"
"""Raise it with every change of rules or lexicon: results are kept under it."""
LONGEST_TEXT = 10**8
"""Characters; spaCy asks for a limit."""


@dataclass(frozen=True, slots=True)
class Explained:
    """An entity and why it is what it is."""

    entity: Entity
    words: str
    rule: str
    """The cue, section or pair of words that decided; empty where the plain phrase did."""


class RuleTagger:
    """Lexicon and rules of one language."""

    def __init__(self, language: str = "en") -> None:
        self.language = language
        self.id = f"xlip-rules-{language}@{VERSION}"

    @cached_property
    def pipeline(self) -> Language:
        """Tokenizer, `xlip_matcher`, `xlip_places`, `xlip_combine`, `xlip_assertion`, `xlip_links`; add your own."""
        import spacy

        from xlip.reports.tagger import assertion, combine, links, matching, places  # noqa: F401  (they register themselves)
        from xlip.reports.tagger.lexicon import load_lexicon
        from xlip.reports.tagger.tokens import ReportTokenizer

        lexicon = load_lexicon(self.language)
        nlp = spacy.blank(self.language)
        nlp.max_length = LONGEST_TEXT
        nlp.tokenizer = ReportTokenizer(nlp.vocab, lexicon)
        nlp.add_pipe("xlip_matcher", config={"language": self.language})
        nlp.add_pipe("xlip_places", config={"language": self.language})
        nlp.add_pipe("xlip_combine", config={"language": self.language})
        nlp.add_pipe("xlip_assertion")
        nlp.add_pipe("xlip_links")
        return nlp

    def tag(self, text: str) -> tuple[Entity, ...]:
        """Entities of one text, in order, never overlapping; offsets count characters of `text`."""
        reading = self._read(text)
        return tuple(_entity(reading, mention) for mention in reading.mentions)

    def tag_all(self, texts: Iterable[str]) -> Iterator[tuple[Entity, ...]]:
        """`tag` of every text, in order."""
        return map(self.tag, texts)

    def explain(self, text: str) -> list[Explained]:
        """The same entities, each with the rule that fired."""
        reading = self._read(text)
        made = [(_entity(reading, mention), mention.rule) for mention in reading.mentions]
        return [Explained(entity, text[entity.start : entity.end], rule) for entity, rule in made]

    def known_words(self, text: str) -> tuple[int, int]:
        """How many of the words of a text the lexicon knows, and how many there are."""
        from xlip.reports.tagger.reading import OTHER

        words = [token.text for token in self.pipeline.make_doc(text) if token.text == OTHER or token.text.isalnum()]
        return sum(word != OTHER for word in words), len(words)

    def _read(self, text: str) -> Reading:
        from xlip.reports.tagger.reading import READING

        reading: Reading = self.pipeline(text).user_data[READING]
        return reading


def _entity(reading: Reading, mention: Mention) -> Entity:
    from xlip.reports.tagger.links import side_of

    linked = mention.locations
    return Entity(
        reading.starts[mention.first],
        reading.ends[mention.last - 1],
        mention.type,
        mention.assertion,
        mention.kind,
        tuple(linked),
        tuple(mention.severities),
        side_of({reading.mentions[number].group for number in linked}) if linked else "",
    )


@cache
def rule_tagger(language: str = "en") -> RuleTagger:
    """The tagger of a language, made once per process."""
    return RuleTagger(language)
