"""What the words of a model's entity mean to us: their kind, by our lexicon."""

from __future__ import annotations

from xlip.reports.tagger.rules import rule_tagger
from xlip.study.record import Entity


def kind_of_words(words: str) -> str | None:
    """The kind that a phrase names on its own ('pleural effusions' -> Effusion), or None."""
    named = [entity.kind for entity in rule_tagger("en").tag(words) if entity.kind and entity.type != "anatomy"]
    return named[-1] if named else None


def without_overlaps(entities: list[Entity]) -> tuple[Entity, ...]:
    """Entities in order, the longer of two that overlap kept; only for entities without links."""
    kept: list[Entity] = []
    for entity in sorted(entities, key=lambda item: (item.start - item.end, item.start)):
        if all(entity.end <= other.start or entity.start >= other.end for other in kept):
            kept.append(entity)
    return tuple(sorted(kept, key=lambda item: item.start))
