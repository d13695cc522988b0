"""Names, dates, numbers and addresses in a report, replaced by typed marks such as `[NAME]` and `[DATE]`.

Rules over the lists of deidentify.yaml. A name is found by what stands around it (a title, a label, 'signed by', 'MD'),
and then wherever else its last part stands in the same report. Recall on invented reports that no rule was developed on,
and what is touched in real reports that hold no names, are in docs/tagger.md; no rule finds every name.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import cache, partial
from importlib.resources import files
from typing import Any, NamedTuple

from xlip.reports.headers import known_headers
from xlip.reports.language import profiles
from xlip.reports.words import expand, fold

MARKS = ("NAME", "DATE", "PHONE", "ID", "ADDRESS", "EMAIL")
_UP, _LOW = "A-Z\u00c0-\u00d6\u00d8-\u00de", "a-z\u00df-\u00f6\u00f8-\u00ff'\u2019"
_CAPITAL = rf"[{_UP}](?:['\u2019][{_UP}])?[{_UP}{_LOW}]+(?:-[{_UP}][{_UP}{_LOW}]+)*"
_INITIAL = rf"[{_UP}]\.?"
_WORD = re.compile(r"[^\W\d_]+")
_CAPITALISED = re.compile(_CAPITAL)
_DIGIT = re.compile(r"\d")
_DATED = re.compile(r"\d[-/.]\d{1,2}[-/.]\d\d|\d{8}|\b(?:on|dated|from|since) \d")
_LONG_NUMBER = re.compile(r"\d[\d ()./+-]{4,}\d|\d{5}|[A-Z]-?\d{3}")
_COUNTED = re.compile(r"(?i)\b(?:no|nr)\b[ .:#]*[a-z]{0,4}-?\d{2}|[#º°]\s*[a-z]{0,4}\d")
_CONTACT = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+|https?://\S+|\bwww\.\S+")
_CODE = r"(?=(?:[A-Z0-9./ -]*?\d){3})[A-Z0-9]+(?:[./-]+[A-Z0-9]+)*(?: \d{2,}(?![\d/.-]|\s?(?:mm|cm|mg|ml|%)))*"


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
    if words & triggers["id_labels"] or _LONG_NUMBER.search(text) or _COUNTED.search(text):
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


def _dates(text: str) -> Iterable[Found]:
    return (Found(*match.span(), "DATE") for match in _patterns()["date"].finditer(text))


def _phones(text: str) -> Iterable[Found]:
    for name in ("labelled phone", "phone"):
        for match in _patterns()[name].finditer(text):
            start, end = match.span("number")
            if sum(character.isdigit() for character in text[start:end]) >= (4 if name == "labelled phone" else 9):
                yield Found(start, end, "PHONE")


def _numbers(text: str) -> Iterable[Found]:
    for name in ("labelled number", "number"):
        yield from (Found(*match.span("number"), "ID") for match in _patterns()[name].finditer(text))


def _addresses(text: str, *, name: str) -> Iterable[Found]:
    return (Found(*match.span(), "ADDRESS") for match in _patterns()[name].finditer(text))


def _names(text: str, *, name: str, first: bool) -> Iterable[Found]:
    for match in _patterns()[name].finditer(text):
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
        if bare in _never_names() or (_is_word(word.group()) and kept and bare not in _particles()):
            break
        kept.append(word)
    while kept and fold(kept[-1].group().strip(".")) in _particles():
        kept.pop()
    capitals = [word for word in kept if re.match(_CAPITAL, word.group()) and fold(word.group()) not in _particles()]
    if capitals and (first or len(kept) >= 2):
        closing = 0 if re.fullmatch(rf"[{_UP}]\.", kept[-1].group()) else len(kept[-1].group()) - len(kept[-1].group().rstrip("."))
        yield Found(start + kept[0].start(), start + kept[-1].end() - closing, "NAME")


def _again(text: str, names: list[str]) -> Iterable[Found]:
    """Other places of the parts of names that were found; what reports use as a word is left alone."""
    parts = {part for name in names for part in re.findall(_CAPITAL, name)}
    parts = {part for part in parts if len(part) > 3 and not _is_word(part)}
    if parts:
        pattern = rf"\b(?:{'|'.join(map(re.escape, sorted({*parts, *map(str.upper, parts)}, key=len, reverse=True)))})\b"
        yield from (Found(*match.span(), "NAME") for match in re.finditer(pattern, text))


def _is_word(word: str) -> bool:
    bare = word.strip(".,;:()")
    return len(bare) > 1 and fold(bare) in _words()


@cache
def _particles() -> frozenset[str]:
    return frozenset(fold(particle) for particle in _lists()["particles"])


@cache
def _never_names() -> frozenset[str]:
    """Words of findings, headers and labels: a name ends before them."""
    from xlip.reports.tagger.lexicon import load_lexicon

    phrases = load_lexicon("en").phrases.items()
    findings = {word for phrase, label in phrases if label.role in ("finding", "anatomy", "device") for word in phrase}
    lexicon = load_lexicon("en").spelling
    findings |= {word for word, standard in lexicon.items() if standard in findings}
    lists = _lists()
    labels = {word for key in ("name_labels", "id_labels", "phone_labels", "credentials", "not_names", "titles") for word in _of(lists[key])}
    headers = {word for header in known_headers() for word in header.split()}
    kept = {"dob", "mrn", "exam", "date", "the", "and", "on", "at", "by", "with", "who", "was", "is", "geb", "ne", "for"}
    return frozenset(word for word in (findings | labels | headers | kept) - _particles() if len(word) > 1)


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
    lists = _lists()
    streets = lists["streets"]
    numbered = [phrase for phrase in streets["before"] if phrase not in streets["numbered_first"]]
    phrases = {key: lists[key] for key in lists if key != "streets"}
    phrases |= {"streets": [*streets["after"], *streets["numbered_first"], *streets["box"]], "streets before": numbered}
    made: dict[str, Any] = {
        key: frozenset(
            max(_WORD.findall(variant.lower()), key=len) for phrase in words for variant in expand(str(phrase))
        )
        for key, words in phrases.items()
    }
    made["id_labels"] -= {"no", "nr"}  # 'no effusion'; `_COUNTED` looks for 'No. 12'
    made["joined"] = tuple(lists["streets"]["joined"])
    return made


@cache
def _lists() -> dict[str, Any]:
    import yaml

    loaded: dict[str, Any] = yaml.safe_load(files("xlip.reports").joinpath("deidentify.yaml").read_text("utf-8"))
    return loaded


def _choice(phrases: Iterable[str]) -> str:
    variants = {variant for phrase in phrases for variant in expand(str(phrase))}
    longest = sorted(variants, key=lambda item: (-len(item), item))
    return "|".join(re.escape(item).replace(r"\ ", r"\.?[ \t]+") for item in longest)


@cache
def _patterns() -> dict[str, re.Pattern[str]]:
    lists = _lists()
    return {**_digit_patterns(lists), **_name_patterns(lists)}


def _digit_patterns(lists: dict[str, Any]) -> dict[str, re.Pattern[str]]:
    month, streets = _choice(lists["months"]), lists["streets"]
    sure = _choice(set(lists["months"]) - set(lists["doubtful_months"]))
    day, year, nth = r"(?:0?[1-9]|[12]\d|3[01])", r"(?:19|20)\d\d", r"(?:st|nd|rd|th|er|\.|º)?"
    lead = r"(?i:(?<=\bon )|(?<=dated )|(?<=from )|(?<=since )|(?<=\ble )|(?<=\bdel )|(?<=\bvom )|(?<=\bem ))"
    dates = (
        rf"\b{year}[-/.](?:0?[1-9]|1[0-2])[-/.]{day}(?!\d)",
        *(rf"\b{day}{mark}{day}{mark}(?:{year}|\d\d)(?![\d/])" for mark in ("-", "/", r"\.")),
        rf"\b(?:19[3-9]|20[0-4])\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?![\d-])",
        rf"\b{day}{nth}[ -]*(?:de )?(?i:{month})\b\.?,?(?:[ -]*(?:de |del )?(?:{year}|['\u2019]?\d\d(?!\d)))",
        rf"\b(?i:{month})\b\.?[ -]+{day}{nth},?[ -]+{year}(?![\d/])",
        rf"\b{day}{nth}[ -](?:de )?(?i:{sure})\b",
        rf"\b(?i:{sure})\b\.?[ -]+{day}{nth}(?![\d/]|[ \t]?(?:mm|cm))",
        rf"{lead}{day}{nth}[ -](?i:{month})\b|{lead}(?i:{month})\.? {day}{nth}(?!\d)",
        rf"\b(?i:{month})\b\.?,? (?:de |of )?{year}\b",
        rf"{lead}(?:0?[1-9]|1[0-2])/{day}(?![\d/])",
    )
    town = rf"(?:,?[ \t]+(?:Apt|Suite|Unit|#)\.?[ \t]*\w+)?(?:,?[ \t]+(?:\d{{4,5}}(?:-\d{{3,4}})?[ \t]+)?[{_UP}][{_LOW}]+(?:[ \t]+[{_UP}][{_LOW}]+){{0,2}})?"
    area = rf"(?:,?[ \t]+[{_UP}]{{2}}[ \t]+\d{{5}}(?:-\d{{4}})?|[ \t]+[{_UP}]{{1,2}}\d\w?[ \t]+\d[{_UP}]{{2}}|,?[ \t]+\d{{4,5}}(?:-\d{{3}})?\b)?"
    after, before = _choice(streets["after"]), _choice(streets["before"])
    name = rf"(?:(?:[{_UP}]\.|[{_UP}][{_LOW}{_UP}.-]+)[ \t]+){{1,3}}"
    more = rf"(?:[{_LOW}]{{1,4}}[ \t]+){{0,2}}[{_UP}][{_UP}{_LOW}-]+(?:[ \t]+(?:[{_LOW}]{{1,4}}[ \t]+)?[{_UP}][{_UP}{_LOW}-]+){{0,3}}"
    house = r"\d{1,5}[A-Za-z]?\b"
    addresses = (
        rf"\b{house},?[ \t]+{name}(?i:{after})\b\.?{town}{area}",
        rf"\b{house}(?:[ \t]+(?:bis|ter))?,?[ \t]+(?i:{before})\.?[ \t]+{more}{town}{area}",
        rf"\b[{_UP}][{_LOW}-]*(?:{'|'.join(streets['joined'])})\.?[ \t]+{house}{town}{area}",
        rf"(?<!\w)(?i:{_choice(streets['box'])})\.?[ \t]*\d+{town}{area}",
    )
    first = rf"(?<!\w)(?i:{before})\.?[ \t]+{more},?[ \t]+(?:n[ºo.°]+[ \t]*)?{house}{town}{area}"
    labels = _choice(lists["id_labels"])
    lead = r"(?:[ \t]*(?:number|no|nr|num|id|nº|n°|clínica|clinica)\b\.?)?[ \t]*(?:[#:.º°=-][ \t]*)*"
    numbers = (
        r"\b\d{3}-\d\d-\d{4}\b|\b[0-2](?:\.\d+){5,}\b|(?<![\d.,/-])\d{6,}(?![\d,/]|\.\d|[ \t]?(?:mm|cm|mg|ml))"
        r"|(?<![\w-])[A-Z]{1,5}-?\d{5,}(?:-\d+)*\b|(?<![\w-])[A-Z]{2,5}-\d{2,4}-\d{3,}\b"
    )
    phones = r"\(\d{2,5}\)[ \t]?\d[\d \t.-]{5,11}\d|(?<![\d.,/-])(?:\+|00)\d{1,3}[\d \t./()-]{7,16}\d|(?<![\d.,/-])(?:1[-. ])?\d{3}[-. ]\d{3}[-. ]\d{4}(?!\d)"
    phones += r"|(?<![\d.,/-])0\d{1,4}(?:[ ./-]?\d{2,}){2,5}(?![\d/])|(?<![\d.,/-])\d{2,3}(?: \d{2,3}){2,4}(?![\d/]|\s?(?:mm|cm))"
    return {
        "date": re.compile("|".join(dates)),
        "address": re.compile("|".join(addresses)),
        "address before": re.compile(first),
        "labelled number": re.compile(rf"(?<![\w-])(?i:{labels})(?![^\W\d_]){lead}(?P<number>(?:[A-Z]{{1,4}} )?{_CODE})"),
        "number": re.compile(rf"(?P<number>{numbers})"),
        "labelled phone": re.compile(
            rf"(?<!\w)(?i:{_choice(lists['phone_labels'])})\b[.:#)]*(?:[ \t]*(?i:no|number|at|oder|or)\b\.?)?[ \t:]*(?P<number>[+(]?\d[\d \t()./+-]{{2,18}}\d)"
        ),
        "phone": re.compile(rf"(?P<number>{phones})"),
    }


def _name_patterns(lists: dict[str, Any]) -> dict[str, re.Pattern[str]]:
    particle = "|".join(sorted(map(re.escape, lists["particles"]), key=len, reverse=True))
    part = rf"(?:(?:(?i:{particle})[ \t]+){{1,2}}|[dDlLoO]['\u2019])?(?:{_CAPITAL}|{_INITIAL}(?![{_LOW}]))"
    run = rf"{part}(?:(?:[ \t]+|,[ \t]+(?=[{_UP}])|(?<=\.)){part}){{0,4}}"
    plain = rf"{part}(?:[ \t]+{part}){{1,4}}"
    titles = _choice(lists["titles"])
    credentials = _choice([*map(str.upper, lists["credentials"]), "Facharzt", "Fachärztin", "PhD", "Ph.D", "MBChB"])
    titled = rf"(?:(?:{titles})\b\.?(?:\(a\))?[ \t]*(?:(?:{titles}|med)\b\.?[ \t]*){{0,3}})"
    labels = _choice(lists["name_labels"])
    return {
        "titled": re.compile(rf"(?<![\w'])(?:{titles})\b\.?(?:\(a\)\.?)?[ \t]+(?:(?:{titles}|med)\b\.?[ \t]+){{0,3}}(?P<name>{part}(?:[ \t]+{part}){{0,4}})"),
        "labelled name": re.compile(rf"(?<!\w)(?i:{labels})(?:\(s\))?[ \t]*[:\uff1a][ \t]*\n?[ \t]*{titled}?(?P<name>{run})"),
        "led name": re.compile(rf"(?<!\w)(?i:{_choice(lists['name_leads'])})\b[.:]?[ \t]*\n?[ \t]*{titled}?(?P<name>{run})"),
        "credited": re.compile(rf"(?<!\w)(?P<name>{plain}),?[ \t]+(?:{credentials})(?![\w-])"),
        "aged": re.compile(
            rf"(?<!\w)(?P<name>{plain}),?[ \t]+(?:de[ \t]+)?(?:\d{{1,3}}[ -]?(?:[MF]\b|y/?o\b|years?|year-old|años|ans|anos|Jahre|J\.)|geb\.|née?[ \t]le|\((?:MRN|DOB|ID|geb|NHC|IPP|\d{{5}}))"
        ),
        "known by role": re.compile(rf"(?<!\w)(?:I|[Pp]atient|by|with|por|par|to),?[ \t]+(?P<name>{plain})"),
    }
