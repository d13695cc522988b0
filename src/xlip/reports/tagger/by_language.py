"""The rule tagger of each report's own language; a report in a language without a lexicon has no entities."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from xlip.reports.language import UNKNOWN, language_of
from xlip.reports.tagger.lexicon import languages, load_lexicon
from xlip.reports.tagger.rules import VERSION, Explained, RuleTagger, rule_tagger
from xlip.reports.words import fold
from xlip.study.record import Entity

DEFAULT = "en"
"""Of a text whose words decide nothing, such as 'Cardiomegaly.'"""
_ENGLISH = (" the ", " with ", " there ", " of the ")
"""Words of no other language: most reports need no closer look."""


_WORD = re.compile(r"[^\W\d_]+")


class LanguageTagger:
    """Finds each report's language and hands it to the tagger of that language."""

    id = f"xlip-rules@{VERSION}"

    def tag(self, text: str) -> tuple[Entity, ...]:
        """Entities of one text; none where no lexicon knows its language."""
        tagger = self.tagger_of(text)
        return tagger.tag(text) if tagger else ()

    def tag_all(self, texts: Iterable[str]) -> Iterator[tuple[Entity, ...]]:
        """`tag` of every text, in order."""
        return map(self.tag, texts)

    def explain(self, text: str) -> list[Explained]:
        """The same entities, each with the rule that fired."""
        tagger = self.tagger_of(text)
        return tagger.explain(text) if tagger else []

    def tagger_of(self, text: str, language: str = "") -> RuleTagger | None:
        """The tagger of a language, or of the text's own where that is not known."""
        language = language or tagged_language(text)
        return rule_tagger(language) if language in languages() else None


def tagged_language(text: str) -> str:
    """The language by which a text is tagged: its own; where its words decide nothing, `DEFAULT` if it has most of
    them ('Cardiomegaly.'), else `UNKNOWN`.
    """
    lower = text[:2000].lower()
    if any(word in lower for word in _ENGLISH):
        return DEFAULT
    if language := language_of(text):
        return language
    words, known = _WORD.findall(lower), load_lexicon(DEFAULT).spelling
    # One word alone tells nothing, and makes no wrong kinds either.
    return DEFAULT if len(words) < 2 or 2 * sum(fold(word) in known for word in words) > len(words) else UNKNOWN
