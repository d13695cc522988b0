"""Medical entities of a report: a lexicon, and rules for what is denied and what is doubted, on a blank spaCy pipeline.

Found once, offline (DESIGN 2.3), and stored as character spans. Negation and doubt follow the idea of NegEx (Chapman et
al. 2001): cues act inside their sentence up to a stop word, over whole lists; our lists of cues and scopes are our own.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, NamedTuple

from xlip.data.kinds import NO_FINDING, kinds
from xlip.data.study import ABSENT, PRESENT, UNCERTAIN, Entity

if TYPE_CHECKING:
    from spacy.tokens import Doc

TAGGER = "xlip-rules@1"
STATES = {"present": PRESENT, "absent": ABSENT, "uncertain": UNCERTAIN}
_RANK = {"present": 2, "uncertain": 1, "absent": 0}
_SENTENCE_END = re.compile(r"[.;?!](?=\s|$)|\n\s*\n|\n(?=\s*[A-Z])")
_HEARSAY = re.compile(r"(?i)\b(indication|history|clinical information|comparison|technique|reason for exam\w*)\s*:")
_SECTION = re.compile(r"(?i)\b(findings|impression|conclusion)\s*:|" + _HEARSAY.pattern.removeprefix("(?i)"))


class _Match(NamedTuple):
    start: int
    end: int
    label: str
    """`type|kind` of an entity, or the name of a cue."""


def tag(text: str) -> tuple[Entity, ...]:
    """Entities of one text, in order, never overlapping; offsets count characters of `text`."""
    return _entities(_pipeline()[0].make_doc(text))


def tag_all(texts: Iterable[str]) -> list[tuple[Entity, ...]]:
    """`tag` of every text."""
    return [tag(text) for text in texts]


def kinds_of(text: str, entities: Sequence[Entity]) -> dict[str, int]:
    """Kind -> PRESENT, ABSENT or UNCERTAIN, as the report says; present outweighs uncertain outweighs absent.

    No_Finding is present where the report calls the chest normal and no other kind is present or uncertain. What stands
    under Indication, History, Comparison or Technique does not count.
    """
    hearsay = _hearsay(text)
    found: dict[str, str] = {}
    for entity in entities:
        if entity.kind is None or any(start <= entity.start < end for start, end in hearsay):
            continue
        if _RANK[entity.assertion] >= _RANK[found.get(entity.kind, "absent")]:
            found[entity.kind] = entity.assertion
    normal = found.pop(NO_FINDING, None)
    states = {kind: STATES[assertion] for kind, assertion in found.items()}
    abnormal = {state for kind, state in states.items() if kind != "Support_Devices"} - {ABSENT}
    if PRESENT in abnormal:
        states[NO_FINDING] = ABSENT
    elif normal == "present" and not abnormal:
        states[NO_FINDING] = PRESENT
    return states


def _entities(doc: Doc) -> tuple[Entity, ...]:
    entity_matcher, cue_matcher = _pipeline()[1:]
    spans = _longest(_matches(doc, entity_matcher))
    if not spans:
        return ()
    cues = _longest(_matches(doc, cue_matcher))
    ends = [_token_at(doc, match.end()) for match in _SENTENCE_END.finditer(doc.text)]
    offsets = [token.idx for token in doc] + [len(doc.text)]
    made = []
    for start, end, label in spans:
        type_, _, kind = label.partition("|")
        number = bisect_right(ends, start)
        sentence = (ends[number - 1] if number else 0, ends[number] if number < len(ends) else len(doc))
        if kind.endswith("!"):  # a phrase that states normality carries its own assertion
            kind, assertion = kind[:-1], "present" if kind[:-1] == NO_FINDING else "absent"
        else:
            assertion = _assertion(doc, start, end, cues, sentence) if type_ in ("finding", "device") else "present"
        last = doc[end - 1]
        made.append(Entity(offsets[start], last.idx + len(last.text), type_, assertion, kind or None))
    return tuple(made)


def _assertion(doc: Doc, start: int, end: int, cues: list[_Match], sentence: tuple[int, int]) -> str:
    """What the cues of its sentence say of the entity in tokens [start, end)."""
    inside = [cue for cue in cues if sentence[0] <= cue.start and cue.end <= sentence[1]]
    states = set()
    for cue in inside:
        name, _, direction = cue.label.partition("_")
        if direction == "before" and cue.end <= start and not _stopped(inside, cue.end, start):
            states.add(name)
        if direction == "after" and cue.start >= end and not _stopped(inside, end, cue.start):
            states.add(name)
    return "uncertain" if "uncertain" in states else "absent" if "absent" in states else "present"


def _stopped(cues: list[_Match], start: int, end: int) -> bool:
    return any(cue.label == "stop" and start <= cue.start < end for cue in cues)


def _matches(doc: Doc, matcher: Any) -> list[_Match]:
    strings = doc.vocab.strings
    return [_Match(start, end, strings[key]) for key, start, end in matcher(doc)]


def _longest(matches: list[_Match]) -> list[_Match]:
    """Longest first, leftmost first, none overlapping; sorted by place."""
    taken: set[int] = set()
    kept = []
    for match in sorted(matches, key=lambda m: (m.start - m.end, m.start, m.label)):
        tokens = range(match.start, match.end)
        if taken.isdisjoint(tokens):
            taken.update(tokens)
            kept.append(match)
    return sorted(kept)


def _token_at(doc: Doc, character: int) -> int:
    """Index of the first token that starts at or after a character."""
    return bisect_right([token.idx for token in doc], character - 1)


def _hearsay(text: str) -> list[tuple[int, int]]:
    heads = list(_SECTION.finditer(text))
    ends = [*(head.start() for head in heads), len(text)][1:]
    return [(head.start(), end) for head, end in zip(heads, ends, strict=True) if _HEARSAY.match(head.group())]


@cache
def _pipeline() -> tuple[Any, Any, Any]:
    """Tokenizer, matcher of entities, matcher of cues."""
    import spacy
    import yaml
    from spacy.matcher import PhraseMatcher

    language = spacy.blank("en")
    language.max_length = 10**8
    lexicon = yaml.safe_load(files("xlip.data").joinpath("lexicon.yaml").read_text("utf-8"))
    entities, cues = (PhraseMatcher(language.vocab, attr="LOWER") for _ in range(2))
    for label, phrases in _phrases(lexicon).items():
        entities.add(label, [language.make_doc(phrase) for phrase in sorted(phrases)])
    for cue, phrases in lexicon["cues"].items():
        cues.add(cue, [language.make_doc(phrase) for phrase in phrases])
    return language, entities, cues


def _phrases(lexicon: dict[str, Any]) -> dict[str, set[str]]:
    """Label -> phrases in lower case; a phrase belongs to the first label that claims it."""
    table: dict[str, set[str]] = {}
    claimed: set[str] = set()

    def claim(label: str, phrases: Iterable[str]) -> None:
        fresh = {variant for phrase in phrases for variant in _variants(phrase)} - claimed
        claimed.update(fresh)
        if fresh:
            table.setdefault(label, set()).update(fresh)

    claim(f"finding|{NO_FINDING}!", lexicon["normal"])
    claim("finding|Cardiomegaly!", lexicon["cardiac_normal"])
    claim("device|Support_Devices", lexicon["devices"])
    for kind in kinds().values():
        if kind.id != NO_FINDING:
            own = (kind.name, *kind.aliases) if kind.id != "Support_Devices" else ("support device",)
            claim(f"finding|{kind.id}", (*lexicon["findings"].get(kind.id, ()), *own))
    claim("finding|", lexicon["other_findings"])
    for type_ in ("anatomy", "location", "severity"):
        claim(f"{type_}|", lexicon[type_])
    return table


def _variants(phrase: str) -> tuple[str, ...]:
    lower = phrase.lower()
    return (lower,) if lower.endswith(("s", "x", "y")) else (lower, lower + "s")
