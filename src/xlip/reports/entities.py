"""Medical entities of a report and the disease kinds it speaks of; the work is done in `xlip.reports.tagger`.

Found once, offline (docs/method.md, EntMLM), and stored as character spans.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from xlip.notices import notice
from xlip.reports.headers import find_headers
from xlip.reports.tagger.by_language import LanguageTagger, tagged_language
from xlip.reports.tagger.rules import VERSION
from xlip.study.kinds import NO_FINDING, kinds
from xlip.study.labels import ABSENT, PRESENT, STATED
from xlip.study.record import Entity, Study

TAGGER = f"xlip-rules-en@{VERSION}"
_TAGGER = LanguageTagger()
_RANK = {"present": 2, "uncertain": 1, "absent": 0}
"""Assertions that say something of this patient now; what is past or only asked about does not count."""


def tag(text: str) -> tuple[Entity, ...]:
    """Entities of one text, in order, never overlapping; offsets count characters of `text`.

    The text's language is found; a text in a language without a lexicon has no entities.
    """
    return _TAGGER.tag(text)


def tag_report(study: Study) -> Study:
    """The study with the entities of its report, their tagger, the kinds and the language; notices an unknown one.

    A language that the study has already counts: the whole report, with its headers, says more than a section of it.
    """
    text = study.report or ""
    language = study.language or tagged_language(text)
    tagger = _TAGGER.tagger_of(text, language)
    if tagger is None:
        notice(f"language not known to the tagger: {language}; the report says nothing of kinds")
        return with_entities(study._replace(language=language), (), "")
    return with_entities(study._replace(language=tagger.language), tagger.tag(text), tagger.id)


def tag_all(texts: Iterable[str]) -> list[tuple[Entity, ...]]:
    """`tag` of every text."""
    return [tag(text) for text in texts]


def kinds_of(text: str, entities: Sequence[Entity]) -> dict[str, int]:
    """Kind -> PRESENT, ABSENT or UNCERTAIN, as the report says; present outweighs uncertain outweighs absent.

    No_Finding is present where the report calls the chest normal, or denies kinds, and states or doubts none. It is
    absent where a kind is present that no normal chest has; an incidental kind (`Kind.incidental`) leaves it open. What
    stands under Indication, History, Comparison or Technique does not count, whoever found the entities.
    """
    hearsay = _hearsay(text) if ":" in text else []
    found: dict[str, str] = {}
    for entity in entities:
        if entity.kind is None or entity.assertion not in _RANK:
            continue
        if any(start <= entity.start < end for start, end in hearsay):
            continue
        if _RANK[entity.assertion] >= _RANK[found.get(entity.kind, "absent")]:
            found[entity.kind] = entity.assertion
    normal = found.pop(NO_FINDING, None)
    states: dict[str, int] = {kind: STATED[assertion] for kind, assertion in found.items()}
    verdict = _no_finding(states, normal == "present")
    return states if verdict is None else {**states, NO_FINDING: verdict}


def kinds_in_report(study: Study) -> Mapping[str, int]:
    """`kinds_of` of a study's report: as `prepare` stored it, or read now, where a file is older than that column."""
    return kinds_of(study.report or "", study.entities) if study.report_kinds is None else study.report_kinds


def with_entities(study: Study, entities: tuple[Entity, ...], tagger: str) -> Study:
    """The study with what a tagger found in its report, and what that says of kinds."""
    return study._replace(entities=entities, tagger=tagger, report_kinds=kinds_of(study.report or "", entities))


def _no_finding(states: dict[str, int], called_normal: bool) -> int | None:
    stated = [kind for kind, state in states.items() if state != ABSENT]
    if any(states[kind] == PRESENT and not kinds()[kind].incidental for kind in stated if kind in kinds()):
        return ABSENT
    if stated:
        return None
    return PRESENT if called_normal or len(states) > 1 else None


def _hearsay(text: str) -> list[tuple[int, int]]:
    """Characters [start, end) of the sections that say nothing of this patient now."""
    heads = find_headers(text)
    ends = [*(head.start for head in heads), len(text)][1:]
    return [(head.start, end) for head, end in zip(heads, ends, strict=True) if head.asserts != "present"]
