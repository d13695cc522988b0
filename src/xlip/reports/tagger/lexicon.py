"""The words of one language (`reports/lexicon/LANGUAGE*.yaml`) as labelled phrases.

The format: docs/reference/tagger.md.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

from xlip.errors import XLIPError
from xlip.reports.headers import header_phrases
from xlip.reports.words import expand, fold
from xlip.study.kinds import NO_FINDING, kinds

WORD = re.compile(
    r"[^\W_](?:[^\W_]|[\u0300-\u036f])*|(?!(?<=\w)[-\u2010\u2011](?=\w))[^\w\s\x00-\x1f\x7f-\x9f\xad\u200b-\u200f\ufeff]"
)
"""A run of letters and digits (with combining accents), or one mark. Hyphens inside words ('left-sided' is 'left
sided'), control characters and underscores (text taken out) count as white space."""
KINDS_LANGUAGE = "en"
"""The language of the names in kinds.yaml."""
CUES = tuple(
    f"{name}_{where}"
    for name in ("absent", "uncertain", "historical", "hypothetical", "present")
    for where in ("before", "after", "around")
)
BREAKS = ("stop", "verb", "existential", "pseudo")
MIMIC = "mimic"
"""Group of words that deny their kind: 'pseudotumor'."""
_FILE_KEYS = {
    "language", "plurals", "spellings", "normal", "findings", "other_findings", "devices", "procedures",
    "descriptors", "anatomy", "sides", "location", "severity", "combine", "normal_at", "cues", "mimics", "outside",
    "not_misspelled",
}  # fmt: skip


class Label(NamedTuple):
    """What a phrase is."""

    role: str
    """An entity type, `cue`, or `section`."""
    group: str
    """Entities: name that the rules use; cues: one of CUES or BREAKS; sections: the assertion of what stands there."""
    kind: str | None = None


@dataclass(frozen=True)
class Lexicon:
    """Phrases and rules of one language; words are folded (no case, no accents) and in their standard spelling."""

    language: str
    phrases: Mapping[tuple[str, ...], Label]
    """Entities and sections."""
    cues: Mapping[tuple[str, ...], Label]
    spelling: Mapping[str, str]
    """Every known word, its inflections and misspellings -> the word that `phrases` and `cues` use."""
    combine: Mapping[tuple[str, str], str]
    """(group of a descriptor, group of an anatomy) -> the kind that they make together."""
    normal_at: Mapping[str, tuple[str, str]]
    """Group of an anatomy called normal -> (kind, assertion of the kind)."""
    outside: Mapping[str, frozenset[str]]
    """Group of an anatomy -> kinds that its findings are none of ('knee joint effusion')."""
    guessed: frozenset[str]
    """Words whose misspellings are read as they; empty where the language does not ask for it."""
    never_guessed: frozenset[str]
    """Words that are no misspellings."""


@cache
def languages() -> tuple[str, ...]:
    """The languages that have a lexicon."""
    folder = files("xlip.reports").joinpath("lexicon")
    return tuple(sorted(item.name.removesuffix(".yaml") for item in folder.iterdir() if "_" not in item.name))


@cache
def load_lexicon(language: str) -> Lexicon:
    """The shipped lexicon of a language.

    Raises:
        XLIPError: no such language, or the file is malformed.
    """
    import yaml

    if language not in languages():
        raise XLIPError(f"language: expected one of {', '.join(languages())}; got {language!r}")
    folder = files("xlip.reports").joinpath("lexicon")
    parts = sorted(item.name for item in folder.iterdir() if re.split(r"[_.]", item.name)[0] == language)
    raw: dict[str, Any] = {}
    for part in parts:
        more = yaml.safe_load(folder.joinpath(part).read_text("utf-8"))
        if twice := sorted(set(raw) & set(more)):
            raise XLIPError(f"lexicon/{part}: expected keys of its own; {', '.join(twice)} stand in another file too")
        raw |= more
    return parse_lexicon(raw, f"lexicon/{language}.yaml")


def words_of(phrase: str) -> tuple[str, ...]:
    """The folded words of a phrase."""
    return tuple(fold(word) for word in WORD.findall(phrase))


def parse_lexicon(raw: Mapping[str, Any], name: str) -> Lexicon:
    """A lexicon from the content of its file.

    Raises:
        XLIPError: unknown keys, kinds or cues, a phrase with two meanings, or a rule about a group that is not there.
    """
    unknown = set(raw) - _FILE_KEYS
    if unknown or "language" not in raw:
        raise XLIPError(f"{name}: expected the keys {sorted(_FILE_KEYS)}; unknown: {sorted(unknown)}")
    table = _Table(name, dict(_spellings(raw)))
    for label, phrases in _entries(raw, name):
        table.add(label, phrases)
    cues = _Table(name, table.spelling)
    for cue, phrases in raw.get("cues", {}).items():
        if cue not in (*CUES, *BREAKS):
            raise XLIPError(f"{name}: expected the cues {', '.join((*CUES, *BREAKS))}; got {cue!r}")
        cues.add(Label("cue", cue), phrases)
    endings = tuple(raw.get("plurals", ()))
    spelling = _with_inflections(table.spelling, endings, table.phrases, cues.phrases)
    table.respell(spelling)
    cues.respell(spelling)
    if raw["language"] == KINDS_LANGUAGE:
        _add_names_of_kinds(table, raw.get("devices", {}))
    spelling = _with_inflections(table.spelling, endings, table.phrases, cues.phrases)
    groups = {label.group for label in table.phrases.values()}
    return Lexicon(
        language=raw["language"],
        phrases=table.phrases,
        cues=cues.phrases,
        spelling=spelling,
        combine=_combinations(raw, groups, name),
        outside={group: frozenset(map(str, kinds_)) for group, kinds_ in raw.get("outside", {}).items()},
        guessed=_guessed(table.phrases, spelling) if "not_misspelled" in raw else frozenset(),
        never_guessed=frozenset(raw.get("not_misspelled", ())),
        normal_at={group: _normal_kind(kind, name) for group, kind in raw.get("normal_at", {}).items()},
    )


class _Table:
    """Phrases as they are read; a phrase means one thing."""

    def __init__(self, name: str, spelling: dict[str, str]) -> None:
        self.name, self.spelling = name, spelling
        self.phrases: dict[tuple[str, ...], Label] = {}

    def add(self, label: Label, phrases: Iterable[str]) -> None:
        for words in self._words(phrases):
            taken = self.phrases.setdefault(words, label)
            if taken != label:
                raise XLIPError(f"{self.name}: {' '.join(words)!r} is both {taken} and {label}; keep one of them")

    def add_if_free(self, label: Label, phrases: Iterable[str]) -> None:
        for words in self._words(phrases):
            self.phrases.setdefault(words, label)

    def respell(self, spelling: Mapping[str, str]) -> None:
        """Put every word of every phrase in its standard spelling."""
        self.spelling = dict(spelling)
        before, self.phrases = self.phrases, {}
        for words, label in before.items():
            respelled = tuple(spelling.get(word, word) for word in words)
            taken = self.phrases.setdefault(respelled, label)
            if taken != label:
                raise XLIPError(f"{self.name}: {' '.join(words)!r} in the plural is both {taken} and {label}")

    def _words(self, phrases: Iterable[str]) -> Iterator[tuple[str, ...]]:
        for phrase in phrases:
            for variant in expand(str(phrase)):
                words = tuple(self.spelling.get(word, word) for word in words_of(variant))
                if not words or not {"(", ")", "|"}.isdisjoint(words):
                    raise XLIPError(
                        f"{self.name}: the phrase {phrase!r} holds no word, or a bracket that is never closed"
                    )
                yield words


def _add_names_of_kinds(table: _Table, devices: Mapping[str, Any]) -> None:
    """Names and aliases of kinds.yaml, where the lexicon does not know better."""
    for kind in kinds().values():
        if kind.id != NO_FINDING:
            role = "device" if kind.id in devices else "finding"
            table.add_if_free(Label(role, kind.id, kind.id), (kind.name, *kind.aliases))


def _entries(raw: Mapping[str, Any], name: str) -> Iterator[tuple[Label, Iterable[str]]]:
    yield Label("finding", "normal_chest", NO_FINDING), raw.get("normal", ())
    for assertion, headers in header_phrases(raw["language"]):
        yield Label("section", assertion), headers
    for kind, phrases in raw.get("mimics", {}).items():
        yield Label("finding", MIMIC, kind), phrases
    for key, role in (("findings", "finding"), ("devices", "device"), ("procedures", "procedure")):
        for kind, phrases in raw.get(key, {}).items():
            if kind and kind not in kinds():
                raise XLIPError(f"{name}: {key}: {kind!r} is no kind of kinds.yaml")
            yield Label(role, kind or role, kind or None), phrases
    for key, role in (("other_findings", "finding"), ("descriptors", "severity"), ("anatomy", "anatomy")):
        for group, phrases in raw.get(key, {}).items():
            yield Label(role, group), phrases
    for side, phrases in raw.get("sides", {}).items():
        yield Label("location", f"side:{side}"), phrases
    yield Label("location", "location"), raw.get("location", ())
    yield Label("severity", "severity"), raw.get("severity", ())


def _spellings(raw: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for right, variants in raw.get("spellings", {}).items():
        yield from ((fold(str(variant)), fold(str(right))) for variant in variants)


def _with_inflections(
    spelling: dict[str, str], endings: Iterable[str], *tables: Mapping[tuple[str, ...], Label]
) -> dict[str, str]:
    """Every word of the tables maps to itself; with a plural ending it maps to the singular."""
    words = {word for table in tables for phrase in table for word in phrase}
    known = {**{word: word for word in words}, **spelling}
    for word, ending in itertools.product(sorted(words), endings):
        if len(word) > 2 and word.isalpha() and not word.endswith("s"):
            known[word + ending] = known[word]
    return known


def _guessed(phrases: Mapping[tuple[str, ...], Label], spelling: Mapping[str, str]) -> frozenset[str]:
    """The words that are a finding or a device alone, with their inflections."""
    alone = {phrase[0] for phrase, label in phrases.items() if len(phrase) == 1 and label.role in ("finding", "device")}
    return frozenset(word for word, standard in spelling.items() if standard in alone)


def _combinations(raw: Mapping[str, Any], groups: set[str], name: str) -> dict[tuple[str, str], str]:
    table = {}
    for rule in raw.get("combine", ()):
        missing = {*rule["of"], *rule["at"]} - groups
        if missing or rule["kind"] not in kinds():
            raise XLIPError(f"{name}: combine: unknown kind or groups in {rule}: {sorted(missing)}")
        table.update(dict.fromkeys(itertools.product(rule["of"], rule["at"]), rule["kind"]))
    return table


def _normal_kind(kind: str, name: str) -> tuple[str, str]:
    if kind not in kinds():
        raise XLIPError(f"{name}: normal_at: {kind!r} is no kind of kinds.yaml")
    return kind, "present" if kind == NO_FINDING else "absent"
