"""Every tagger behind one protocol, found by name; the adapters of models load only when one is asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

from xlip.errors import XLIPError
from xlip.reports.tagger.by_language import LanguageTagger
from xlip.reports.tagger.lexicon import languages
from xlip.reports.tagger.rules import rule_tagger
from xlip.study.record import Entity

AUTO = "auto"
"""The language of each report, found from its words."""


class Tagger(Protocol):
    """Finds the entities of reports."""

    id: str
    """`name@version`: what the Parquet record keeps."""

    def tag_all(self, texts: Iterable[str]) -> Iterator[tuple[Entity, ...]]:
        """Entities of each text, in order, none overlapping; offsets count characters of the text."""
        ...


def load_tagger(name: str = "rules", language: str = AUTO) -> Tagger:
    """A tagger by name.

    Args:
        name: `rules`, `radgraph` or `radgraph:MODEL`, or `hf:PATH_OR_HUB_ID` for any token-classification model of
            transformers.
        language: of the rules; `auto`: each report's own.

    Raises:
        XLIPError: no such tagger or language, or what it needs is not installed or not there.
    """
    kind, _, detail = name.partition(":")
    if kind == "rules" and not detail:
        if language == AUTO:
            return LanguageTagger()
        if language not in languages():
            raise XLIPError(f"language: expected one of {AUTO}, {', '.join(languages())}; got {language!r}")
        return rule_tagger(language)
    if kind == "hf" and detail:
        from xlip.reports.tagger.token_classification import TokenClassificationTagger

        return TokenClassificationTagger(detail)
    if kind == "radgraph":
        from xlip.reports.tagger.radgraph import RadGraphTagger

        return RadGraphTagger(detail or "radgraph-xl")
    raise XLIPError(f"tagger: expected rules, hf:PATH_OR_HUB_ID, radgraph or radgraph:MODEL; got {name!r}")
