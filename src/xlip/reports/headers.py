"""The headers of a report's sections, in every language of headers.yaml: where they stand and what they open."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

from xlip.reports.words import expand, fold

LANGUAGES = ("en", "es", "de", "fr", "pt", "it")
ADMINISTRATIVE = "administrative"
"""Names, dates and numbers: such a section ends with its line or sentence."""
EXAM_TITLE = "exam_title"
"""'CHEST, PA AND LATERAL:', which opens the findings where the report names none."""
PART = "part"
"""'LUNGS:', a part of the chest: it stays in the findings, or opens them; its words stay with its text."""
LONGEST = 7
"""Words of a header at most."""

_UPPER = "A-Z\u00c0-\u00d6\u00d8-\u00de"
_COLON = re.compile(r"[ \t]*[*_]{0,3}[ \t]*[:\uff1a][*_]{0,3}")
_OPENING = re.compile(r"[ \t]*(?:[*#>_\u2022-]+[ \t]*)?(?:\(?\d{1,2}[.)][ \t]*|[A-Za-z]\)[ \t]*)?[*_]{0,3}")
"""What may stand on a line before a header: a bullet, a list number, marks of Markdown."""
_START = re.compile(r"(?<![^\s.;|!?)>])[^\s.;|!?)>]")
"""Where a word begins, also right after a full stop ('lungs.IMPRESSION:')."""
_SLASH = re.compile(r"\s*/\s*")
_ASIDE = re.compile(r"\s*\([^()]*\)\s*$")
_LINE = re.compile(r"(?m)^[^\n:\uff1a]{3,60}$")
_DASH = re.compile(r"(?m)^([^\n:\uff1a]{3,60}?)[ \t]+[-\u2013\u2014][ \t]+(?=\S)")
_SHOUTED = re.compile(
    rf"(?<!\S)[{_UPPER}]{{4,}}(?:[ /&][{_UPPER}]{{2,}})*"
    rf"(?=[ \t]+(?:[{_UPPER}][a-z\u00df-\u00ff]|[A-Z] [a-z]|\d{{1,2}}[.)]))"
)
_CAPITALS = re.compile(rf"[{_UPPER}][{_UPPER}0-9 ,/()&.\-]{{2,70}}")
_BARE = re.compile(r"(?m)^[ \t]*(ADDENDUM|ADDENDA|WET READ|FINAL REPORT)[^\n:]{0,40}(?::(?!\d)|$)")
_EXAM_WORDS = re.compile(r"CHEST|RADIOGRAPH|X-?RAY|PORTABLE|FRONTAL|LATERAL|\bPA\b|\bAP\b|CXR|VIEWS?|T[OÓ]RAX|THORAX")
_SHORT = 70
"""Characters; a shorter text may be a header by itself."""
_PLAIN = frozenset("\n\r:\uff1a\u2013\u2014|;_")
"""Signs without one of which there is no line, no colon, no long dash, and nothing to take out at the end."""
_CAPITAL_RUN = re.compile(rf"[{_UPPER}]{{4}}")
_STARTERS = ".!?;|)]}"
"""A header in any case may follow these."""


class Header(NamedTuple):
    """A header at characters [start, end); the section's text begins at `end`."""

    start: int
    end: int
    section: str
    asserts: str
    """present, historical or hypothetical."""


@dataclass(frozen=True)
class Known:
    """A header of the list."""

    section: str
    asserts: str
    weak: bool = False


@cache
def known_headers() -> dict[str, Known]:
    """Every header, folded and single-spaced, of every language."""
    found: dict[str, Known] = {}
    for group in _groups():
        for key in (*LANGUAGES, "weak", "by"):
            known = Known(group["section"], group["asserts"], key == "weak")
            for phrase in _expanded(group.get(key, ())):
                found.setdefault(_key(phrase), known)
    return found


def header_phrases(language: str) -> Iterator[tuple[str, list[str]]]:
    """(what it asserts, phrases) of the headers of one language, for the tagger."""
    for group in _groups():
        if group["section"] != ADMINISTRATIVE:
            weak = group.get("weak", ()) if language in LANGUAGES else ()
            yield group["asserts"], [*group.get(language, ()), *weak]


def single_headers() -> Iterator[tuple[str, str]]:
    """(language, header in lower case with its accents) of headers of one word, but for those of names and dates."""
    for group in _groups():
        for language in LANGUAGES if group["section"] != ADMINISTRATIVE else ():
            words = _expanded(group.get(language, ()))
            yield from ((language, word.casefold()) for word in words if word.isalpha() and len(word) > 3)


def may_hold_headers(text: str) -> bool:
    """Whether a text has more than one line or anything else that a header needs; False is certain."""
    if len(text) <= _SHORT or " -" in text or not _PLAIN.isdisjoint(text) or _CAPITAL_RUN.search(text):
        return True
    return _may_be_signed(text)


def find_headers(text: str) -> list[Header]:
    """The headers of a text in order, none overlapping.

    A header of the list counts in any case at the start of a line or a sentence where a colon follows; alone on its
    line, or before a dash, with a capital; inside a sentence with a capital and a colon, or in capitals before words
    that are not. A line that starts with capitals and a colon is a header even where it is on no list.
    """
    found = [header for match in _COLON.finditer(text) if (header := _before_colon(text, match))]
    found += (Header(*match.span(), *_named(match.group(1))) for match in _BARE.finditer(text))
    found += _without_colon(text)
    found += _signed(text)
    found.sort(key=lambda header: (header.start, -header.end))
    kept: list[Header] = []
    for header in found:
        if not kept or header.start >= kept[-1].end:
            kept.append(header)
    return kept


def _before_colon(text: str, colon: re.Match[str]) -> Header | None:
    line = text.rfind("\n", 0, colon.start()) + 1
    first = max(line, colon.start() - 90)
    places = [match.start() for match in _START.finditer(text, first, colon.start())][-LONGEST:]
    for place in places:
        opening = _OPENING.match(text, place, colon.start())
        start = opening.end() if opening else place
        candidate = text[start : colon.start()]
        known = known_headers().get(_key(_ASIDE.sub("", candidate)))
        if known is None:
            continue
        leading = _opens(text, line, place)
        if leading or (candidate[0].isupper() and not known.weak):
            return Header(place if leading else start, colon.end(), known.section, known.asserts)
    whole = text[line : colon.start()].strip()
    if _part_pattern().fullmatch(whole):
        return Header(line, line, PART, "present")
    if _CAPITALS.fullmatch(whole) and not text[colon.end() : colon.end() + 1].isdigit():
        section = EXAM_TITLE if _EXAM_WORDS.search(whole) else "examination"
        return Header(line, colon.end(), section, "present" if section == EXAM_TITLE else "hypothetical")
    return None


def _without_colon(text: str) -> Iterator[Header]:
    for pattern in (_LINE, _DASH):
        for match in pattern.finditer(text) if pattern is _LINE or " -" in text or "\u2013" in text else ():
            words = match.group(match.lastindex or 0)
            opening = _OPENING.match(words)
            bare = words[opening.end() if opening else 0 :].strip(" \t*_#.")
            known = known_headers().get(_key(_ASIDE.sub("", bare)))
            if known and bare[0].isupper() and (known.section != ADMINISTRATIVE or pattern is _DASH):
                yield Header(*match.span(), known.section, known.asserts)
    for match in _SHOUTED.finditer(text):
        words = match.group().split(" ")
        for number in range(len(words)):
            tail = " ".join(words[number:])
            known = known_headers().get(_key(tail))
            if known and not known.weak and known.section != ADMINISTRATIVE:
                yield Header(match.end() - len(tail), match.end(), known.section, known.asserts)
                break


def _signed(text: str) -> Iterator[Header]:
    """'Signed by ...'; most reports have none of the last words of these phrases, for which they are searched first."""
    if _may_be_signed(text):
        for match in _by_pattern().finditer(text):
            yield Header(match.start(1), match.end(), ADMINISTRATIVE, "hypothetical")


def _may_be_signed(text: str) -> bool:
    words = " " + " ".join(text.lower().split())
    return any(word in words for word in _by_words())


def _opens(text: str, line: int, start: int) -> bool:
    """Whether nothing of the sentence stands before: a line, a list mark or the end of another sentence does."""
    before = text[line:start]
    opening = _OPENING.match(before)
    return (opening is not None and opening.end() == len(before)) or before.rstrip()[-1:] in tuple(_STARTERS)


def _named(words: str) -> tuple[str, str]:
    known = known_headers()[_key(words)]
    return known.section, known.asserts


@cache
def _part_pattern() -> re.Pattern[str]:
    parts = "|".join(part for group in _groups() for part in group.get("parts", ()))
    return re.compile(rf"(?i)(?:both |the |other |right |left )?(?:{parts})[^\W\d_]*(?:[ /&,]+[^\W\d_]+){{0,4}}")


def _by_phrases() -> list[str]:
    return [phrase for group in _groups() for phrase in _expanded(group.get("by", ()))]


@cache
def _by_words() -> tuple[str, ...]:
    """The last words of the phrases, with the space before: ' by', ' por'."""
    return tuple(sorted({" " + phrase.split()[-1] for phrase in _by_phrases()}))


@cache
def _by_pattern() -> re.Pattern[str]:
    phrases = _by_phrases()
    longest = sorted((re.escape(phrase).replace(r"\ ", r"\s+") for phrase in phrases), key=len, reverse=True)
    return re.compile(rf"(?im)(?:^[ \t]*|(?<=[.;!?|)])[ \t]+|,[ \t])({'|'.join(longest)})\b[.:]?")


def _key(words: str) -> str:
    return " ".join(_SLASH.sub("/", fold(words).replace("&", " and ")).split())


def _expanded(phrases: Iterable[str]) -> Iterator[str]:
    for phrase in phrases:
        yield from expand(str(phrase))


@cache
def _groups() -> list[dict[str, Any]]:
    import yaml

    loaded: list[dict[str, Any]] = yaml.safe_load(files("xlip.reports").joinpath("headers.yaml").read_text("utf-8"))
    return loaded
