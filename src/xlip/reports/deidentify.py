"""Names, dates, numbers and addresses in a report, replaced by typed marks such as `[NAME]` and `[DATE]`.

Rules over the lists of deidentify.yaml. A name is found by what stands around it (a title, a label, 'signed by',
'MD'), and then wherever else its parts stand in the same report. Recall on invented reports that no rule was developed
on, and what is touched in real reports that hold no names, are in docs/reference/tagger.md; no rule finds every name.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import cache, lru_cache, partial
from typing import Any, NamedTuple

from xlip.reports.deidentify_patterns import CAPITAL, UPPER, lists, patterns
from xlip.reports.headers import known_headers
from xlip.reports.language import KEPT, profiles
from xlip.reports.words import expand, fold

MARKS = ("NAME", "DATE", "PHONE", "ID", "ADDRESS", "EMAIL", "AGE")
_WORD = re.compile(r"[^\W\d_]+")
_CAPITALISED = re.compile(CAPITAL)
_DIGIT = re.compile(r"\d")
_DATED = re.compile(r"\d[-/.]\d{1,2}[-/.]\d\d|\d{8}|\b(?:on|dated|from|since) \d")
_LONG_NUMBER = re.compile(r"\d[\d ()./+-]{4,}\d|\d{5}|[A-Z]-?\d{3}")
_THREE_DIGITS = re.compile(r"\d(?:[A-Z0-9./ -]*\d){2}")
"""What every number that identifies has at least."""
_COUNTED = re.compile(r"(?i)\b(?:no|nr)\b[ .:#]*[a-z]{0,4}-?\d{2}|[#º°]\s*[a-z]{0,4}\d")
_CONTACT = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+|https?://\S+|\bwww\.\S+")


_OLD = re.compile(r"(?i)(?<![\d.,/-])(?:9\d|1[0-2]\d)(?=[ -]?(?:years?|yrs?|y/?o|jahre?|j[aä]hrige?r?|ans|a[nñ]os)\b)")
"""An age above 89, which in few people is as good as a name (45 CFR 164.514)."""


class Found(NamedTuple):
    """Characters [start, end) to replace, and by what."""

    start: int
    end: int
    mark: str


def deidentify(text: str) -> tuple[str, Counter[str]]:
    """The text with `[NAME]`, `[DATE]`, ... in the place of what identifies, and how many of each were put there."""
    found = find_identifiers(text)
    parts, last = [], 0
    for start, end, mark in found:
        parts += [text[last:start], f"[{mark}]"]
        last = end
    return "".join((*parts, text[last:])), Counter(item.mark for item in found)


def find_identifiers(text: str) -> list[Found]:
    """What identifies a person, in order, none overlapping; the first rule that takes a place keeps it."""
    words = set(_WORD.findall(text.lower()))
    rules: list[Callable[[str], Iterable[Found]]] = []
    if "@" in text or "www." in text or "http" in text:
        rules.append(_contacts)
    if _DIGIT.search(text):
        rules += _digit_rules(text, words)
    rules += _name_rules(text, words)
    taken = bytearray(len(text))
    kept: list[Found] = []
    for rule in rules:
        for item in rule(text):
            if item.end > item.start and not any(taken[item.start : item.end]):
                taken[item.start : item.end] = b"\x01" * (item.end - item.start)
                kept.append(item)
    for item in _again(text, [text[item.start : item.end] for item in kept if item.mark == "NAME"]):
        if not any(taken[item.start : item.end]):
            kept.append(item)
    return sorted(kept)


def _digit_rules(text: str, words: set[str]) -> Iterator[Callable[[str], Iterable[Found]]]:
    """The rules for numbers whose words or digits a text has at all: most reports have none."""
    triggers = _triggers()
    if words & triggers["streets"] or any(word.endswith(triggers["joined"]) for word in words):
        yield partial(_addresses, name="address")
    if words & triggers["streets before"]:
        yield partial(_addresses, name="address before")
    if words & triggers["months"] or _DATED.search(text):
        yield _dates
    if words & triggers["phone_labels"] or _LONG_NUMBER.search(text):
        yield _phones
    if _OLD.search(text):
        yield _ages
    named = not words.isdisjoint(triggers["id_labels"])
    if _THREE_DIGITS.search(text) and (named or _LONG_NUMBER.search(text) or _COUNTED.search(text)):
        yield _numbers


def _name_rules(text: str, words: set[str]) -> list[Callable[[str], Iterable[Found]]]:
    """The rules for names whose words a text has at all."""
    triggers = _triggers()
    wanted = []
    if words & triggers["titles"]:
        wanted.append(("titled", True))
    if (":" in text or "\uff1a" in text) and words & triggers["name_labels"]:
        wanted.append(("labelled name", True))
    if words & triggers["name_leads"]:
        wanted.append(("led name", True))
    if words & triggers["credentials"]:
        wanted.append(("credited", False))
    # Two capitals that no report uses: German writes its nouns so.
    if sum(not _is_word(word) for word in _CAPITALISED.findall(text)) >= 2:
        wanted.append(("aged", False))
        if not words & {"der", "die", "das", "kein", "keine", "und"}:
            wanted.append(("known by role", False))
    return [partial(_names, name=name, first=first) for name, first in wanted]


def _contacts(text: str) -> Iterable[Found]:
    return (Found(*match.span(), "EMAIL") for match in _CONTACT.finditer(text))


def _ages(text: str) -> Iterable[Found]:
    return (Found(*match.span(), "AGE") for match in _OLD.finditer(text))


def _dates(text: str) -> Iterable[Found]:
    return (Found(*match.span(), "DATE") for match in patterns()["date"].finditer(text))


def _phones(text: str) -> Iterable[Found]:
    for name in ("labelled phone", "phone"):
        for match in patterns()[name].finditer(text):
            start, end = match.span("number")
            if sum(character.isdigit() for character in text[start:end]) >= (4 if name == "labelled phone" else 9):
                yield Found(start, end, "PHONE")


def _numbers(text: str) -> Iterable[Found]:
    for name in ("labelled number", "number"):
        yield from (Found(*match.span("number"), "ID") for match in patterns()[name].finditer(text))


def _addresses(text: str, *, name: str) -> Iterable[Found]:
    return (Found(*match.span(), "ADDRESS") for match in patterns()[name].finditer(text))


def _names(text: str, *, name: str, first: bool) -> Iterable[Found]:
    for match in patterns()[name].finditer(text):
        yield from _trimmed(text, *match.span("name"), first=first)


def _trimmed(text: str, start: int, end: int, *, first: bool) -> Iterable[Found]:
    """The part of a run of capitals that is a name: up to a word that reports use.

    Args:
        text: the report.
        start: of the run.
        end: of the run.
        first: whether the run's first word is a name whatever it is (after a title), unless a finding or a header; else
            words that reports use are left out at the front, and two must be left.
    """
    words = list(re.finditer(r"[^\s,]+", text[start:end]))
    while words and not first and _is_word(words[0].group()):
        del words[0]
    kept: list[re.Match[str]] = []
    for word in words:
        bare = fold(word.group().strip(".,"))
        # 'Dr. B. Stone' and 'Mary Young' are names; in 'SMITH WAS TOLD' the second word is none.
        spoken = any(len(other.group().strip(".")) > 1 for other in kept)
        ends = spoken and _is_word(word.group()) and bare not in _particles()
        if bare in _never_names() or (ends and (not first or len(kept) > 2 or not _is_title(word.group()))):
            break
        kept.append(word)
    while kept and fold(kept[-1].group().strip(".")) in _particles():
        kept.pop()
    capitals = [word for word in kept if re.match(CAPITAL, word.group()) and fold(word.group()) not in _particles()]
    if capitals and (first or len(kept) >= 2):
        last = kept[-1].group()
        closing = 0 if re.fullmatch(rf"[{UPPER}]\.", last) else len(last) - len(last.rstrip("."))
        yield Found(start + kept[0].start(), start + kept[-1].end() - closing, "NAME")


def _again(text: str, names: list[str]) -> Iterable[Found]:
    """Other places of the parts of names that were found; what reports use as a word is left alone."""
    parts = {part for name in names for part in re.findall(CAPITAL, name)}
    parts = {part for part in parts if len(part) > 3 and not _is_word(part)}
    if parts:
        pattern = (
            rf"\b(?:{'|'.join(map(re.escape, sorted({*parts, *map(str.upper, parts)}, key=len, reverse=True)))})\b"
        )
        yield from (Found(*match.span(), "NAME") for match in re.finditer(pattern, text))


def is_report_word(word: str) -> bool:
    """Whether reports of any language that is known use a word, so that by itself it identifies no person."""
    return _is_word(word)


def _is_title(word: str) -> bool:
    return word[:1].isupper() and word[1:].strip(".").islower()


@lru_cache(KEPT)
def _is_word(word: str) -> bool:
    bare = word.strip(".,;:()")
    return len(bare) > 1 and fold(bare) in _words()


@cache
def _particles() -> frozenset[str]:
    return frozenset(fold(particle) for particle in lists()["particles"])


@cache
def _never_names() -> frozenset[str]:
    """Words of findings, headers and labels: a name ends before them."""
    from xlip.reports.tagger.lexicon import load_lexicon

    phrases = load_lexicon("en").phrases.items()
    findings = {word for phrase, label in phrases if label.role in ("finding", "anatomy", "device") for word in phrase}
    lexicon = load_lexicon("en").spelling
    findings |= {word for word, standard in lexicon.items() if standard in findings}
    keys = ("name_labels", "id_labels", "phone_labels", "credentials", "not_names", "titles", "joining")
    labels = {word for key in keys for word in _of(lists()[key])}
    headers = {word for header in known_headers() for word in header.split()}
    return frozenset(word for word in (findings | labels | headers) - _particles() if len(word) > 1)


@cache
def _words() -> frozenset[str]:
    """Words that reports use, of every language: in a run of capitals, no name."""
    from xlip.reports.tagger.lexicon import load_lexicon

    return _never_names() | frozenset(load_lexicon("en").spelling) | frozenset(profiles().words)


def _of(phrases: Iterable[str]) -> set[str]:
    return {word for phrase in phrases for variant in expand(str(phrase)) for word in fold(variant).split()}


@cache
def _triggers() -> dict[str, Any]:
    """The longest word of every phrase of a list: where a text has none of them, its rule need not look."""
    listed = lists()
    streets = listed["streets"]
    numbered = [phrase for phrase in streets["before"] if phrase not in streets["numbered_first"]]
    phrases = {key: listed[key] for key in listed if key != "streets"}
    phrases |= {"streets": [*streets["after"], *streets["numbered_first"], *streets["box"]], "streets before": numbered}
    made: dict[str, Any] = {
        key: frozenset(
            max(_WORD.findall(variant.lower()), key=len) for phrase in words for variant in expand(str(phrase))
        )
        for key, words in phrases.items()
    }
    made["id_labels"] -= {"no", "nr"}  # 'no effusion'; `_COUNTED` looks for 'No. 12'
    made["joined"] = tuple(streets["joined"])
    return made
