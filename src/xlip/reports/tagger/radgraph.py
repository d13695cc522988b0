"""Adapter: RadGraph (Jain et al. 2021) through the `radgraph` package, and its public JSON as entities.

Its labels name anatomy and observations with their assertion; relations `located_at` and `modify` become links.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib import import_module
from itertools import islice
from typing import Any

from xlip.errors import XLIPError
from xlip.reports.tagger.naming import kind_of_words
from xlip.study.record import Entity

BATCH = 16
LABELS = {
    "ANAT-DP": ("anatomy", "present"),
    "OBS-DP": ("finding", "present"),
    "OBS-U": ("finding", "uncertain"),
    "OBS-DA": ("finding", "absent"),
    "Anatomy::definitely present": ("anatomy", "present"),
    "Anatomy::uncertain": ("anatomy", "present"),
    "Anatomy::definitely absent": ("anatomy", "present"),
    "Observation::definitely present": ("finding", "present"),
    "Observation::uncertain": ("finding", "uncertain"),
    "Observation::definitely absent": ("finding", "absent"),
}
"""The labels of RadGraph and of RadGraph-XL."""


class RadGraphTagger:
    """RadGraph's entities and relations as ours; kinds by our lexicon."""

    def __init__(self, model: str = "radgraph-xl", run: Callable[[list[str]], Mapping[str, Any]] | None = None) -> None:
        """Load the package's model, or use `run` (texts -> RadGraph's JSON) in its place.

        Raises:
            XLIPError: the package is not installed, or its model cannot be loaded.
        """
        self.id = f"radgraph:{model}@1"
        self._run = run or _load(model)

    def tag_all(self, texts: Iterable[str]) -> Iterator[tuple[Entity, ...]]:
        """Entities of each text, in order."""
        texts = iter(texts)
        while batch := list(islice(texts, BATCH)):
            # The package replaces an empty report by the word 'None'.
            filled = [text for text in batch if text.strip()]
            answers = self._run(filled) if filled else {}
            numbers = iter(range(len(filled)))
            for text in batch:
                yield entities_of_json(text, answers[str(next(numbers))]) if text.strip() else ()


def _load(model: str) -> Callable[[list[str]], Mapping[str, Any]]:
    try:
        package = import_module("radgraph")
    except ImportError as error:
        raise XLIPError("tagger radgraph: the package is not installed: pip install 'xlip[radgraph]'") from error
    try:
        loaded: Callable[[list[str]], Mapping[str, Any]] = package.RadGraph(model_type=model)
    except Exception as error:  # the package raises bare exceptions, assertions and those of its download
        raise XLIPError(
            f"tagger radgraph:{model}: the model cannot be loaded ({str(error) or type(error).__name__}); "
            "known: radgraph, radgraph-xl, modern-radgraph-xl; the first use needs a network"
        ) from error
    return loaded


def entities_of_json(text: str, answer: Mapping[str, Any]) -> tuple[Entity, ...]:
    """One report's answer (`text`: its tokens, `entities`: labels and token numbers) as entities of the original text.

    Raises:
        XLIPError: the answer is not of RadGraph's form.
    """
    try:
        places = _places(text, answer["text"].split())
        items = {number: item for number, item in answer["entities"].items() if item["label"] in LABELS}
        spans = {
            number: (places[int(item["start_ix"])][0], places[int(item["end_ix"])][1]) for number, item in items.items()
        }
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise XLIPError(
            f"radgraph: expected `text` and `entities` with label, start_ix, end_ix; fault at {error!r}"
        ) from error
    order = [number for number in sorted(spans, key=lambda n: spans[n]) if min(spans[number]) >= 0]
    index = {number: place for place, number in enumerate(order)}
    locations, severities = _links(items, index)
    return tuple(
        _entity(text, spans[number], items[number]["label"], locations[number], severities[number]) for number in order
    )


def _entity(text: str, span: tuple[int, int], label: str, locations: list[int], severities: list[int]) -> Entity:
    type_, assertion = LABELS[label]
    kind = kind_of_words(text[span[0] : span[1]]) if type_ == "finding" else None
    return Entity(*span, type_, assertion, kind, tuple(locations), tuple(severities))


def _links(items: Mapping[str, Any], index: Mapping[str, int]) -> tuple[dict[str, list[int]], dict[str, list[int]]]:
    """`located_at` points from a finding to its anatomy; `modify` from an observation to what it describes."""
    locations: dict[str, list[int]] = {number: [] for number in items}
    severities: dict[str, list[int]] = {number: [] for number in items}
    for number, item in items.items():
        for relation, other in item.get("relations") or ():
            if number in index and other in index:
                if relation == "located_at":
                    locations[number].append(index[other])
                elif relation == "modify" and LABELS[items[other]["label"]][0] == "finding":
                    severities[other].append(index[number])
    return locations, severities


def _places(text: str, tokens: list[str]) -> list[tuple[int, int]]:
    """Characters of each token in the original text; (-1, -1) for one that the package rewrote."""
    places, at = [], 0
    for token in tokens:
        found = re.compile(re.escape(token)).search(text, at)
        places.append(found.span() if found else (-1, -1))
        at = found.end() if found else at
    return places
