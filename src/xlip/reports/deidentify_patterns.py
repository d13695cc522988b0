"""The regular expressions of de-identification, made of the lists of deidentify.yaml."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from typing import Any

from xlip.reports.words import expand

UPPER, LOWER = "A-Z\u00c0-\u00d6\u00d8-\u00de", "a-z\u00df-\u00f6\u00f8-\u00ff'\u2019"
CAPITAL = rf"[{UPPER}](?:['\u2019][{UPPER}])?[{UPPER}{LOWER}]+(?:-[{UPPER}][{UPPER}{LOWER}]+)*"
"""A word that starts with a capital, or is in capitals."""
_GAP = r"[ \t]+"
_DAY, _YEAR = r"(?:0?[1-9]|[12]\d|3[01])", r"(?:19|20)\d\d"
_MONTH_NUMBER = r"(?:0?[1-9]|1[0-2])"
_UNIT = r"(?:mm|cm|mg|ml|%)"


@cache
def lists() -> dict[str, Any]:
    """The content of deidentify.yaml."""
    import yaml

    loaded: dict[str, Any] = yaml.safe_load(files("xlip.reports").joinpath("deidentify.yaml").read_text("utf-8"))
    return loaded


@cache
def patterns() -> dict[str, re.Pattern[str]]:
    """Name of a rule -> its expression; what is to be replaced is the group `name` or `number`, or all."""
    made = {"date": _dates(), **_addresses(), **_numbers(), **_phones(), **_names()}
    return {name: re.compile(pattern) for name, pattern in made.items()}


def _choice(phrases: Iterable[str]) -> str:
    variants = {variant for phrase in phrases for variant in expand(str(phrase))}
    longest = sorted(variants, key=lambda item: (-len(item), item))
    return "|".join(re.escape(item).replace(r"\ ", r"\.?[ \t]+") for item in longest)


def _dates() -> str:
    months, doubtful = set(lists()["months"]), set(lists()["doubtful_months"])
    month, sure = rf"(?i:{_choice(months)})\b\.?", rf"(?i:{_choice(months - doubtful)})\b\.?"
    nth, of = r"(?:st|nd|rd|th|er|\.|º)?", r"(?:de |del |of )?"
    after = r"(?i:(?<=\bon )|(?<=dated )|(?<=from )|(?<=since )|(?<=\ble )|(?<=\bdel )|(?<=\bvom )|(?<=\bem ))"
    return "|".join(
        (
            rf"\b{_YEAR}[-/.](?:0?[1-9]|1[0-2])[-/.]{_DAY}(?!\d)",
            *(rf"\b{_DAY}{mark}{_DAY}{mark}(?:{_YEAR}|\d\d)(?![\d/])" for mark in ("-", "/", r"\.")),
            r"\b(?:19[3-9]|20[0-4])\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?![\d-])",
            rf"\b{_DAY}{nth}[ -]*{of}{month},?[ -]*{of}(?:{_YEAR}|['\u2019]?\d\d(?!\d))",
            rf"\b{month}[ -]+{_DAY}{nth},?[ -]+{_YEAR}(?![\d/])",
            rf"\b{_DAY}{nth}[ -]{of}{sure}",
            rf"\b{sure}[ -]+{_DAY}{nth}(?![\d/]|[ \t]?{_UNIT})",
            rf"{after}{_DAY}{nth}[ -]{month}|{after}{month} {_DAY}{nth}(?!\d)",
            rf"\b{month},? {of}{_YEAR}\b",
            rf"{after}{_MONTH_NUMBER}/{_DAY}(?![\d/])",
        )
    )


def _addresses() -> dict[str, str]:
    streets = lists()["streets"]
    after, before = (rf"(?i:{_choice(streets[key])})\b\.?" for key in ("after", "before"))
    capital = rf"[{UPPER}][{UPPER}{LOWER}-]+"
    small = rf"(?:[{LOWER}]{{1,4}}{_GAP})"
    house = r"\d{1,5}[A-Za-z]?\b"
    flat = rf"(?:,?{_GAP}(?:Apt|Suite|Unit|#)\.?[ \t]*\w+)?"
    town = rf"(?:,?{_GAP}(?:\d{{4,5}}(?:-\d{{3,4}})?{_GAP})?[{UPPER}][{LOWER}]+(?:{_GAP}[{UPPER}][{LOWER}]+){{0,2}})?"
    area = "|".join(
        (
            rf",?{_GAP}[{UPPER}]{{2}}{_GAP}\d{{5}}(?:-\d{{4}})?",
            rf"{_GAP}[{UPPER}]{{1,2}}\d\w?{_GAP}\d[{UPPER}]{{2}}",
            rf",?{_GAP}\d{{4,5}}(?:-\d{{3}})?\b",
        )
    )
    tail = rf"{flat}{town}(?:{area})?"
    titled = rf"(?:(?:[{UPPER}]\.|[{UPPER}][{LOWER}{UPPER}.-]+){_GAP}){{1,3}}"
    named = rf"{small}{{0,2}}{capital}(?:{_GAP}{small}?{capital}){{0,3}}"
    numbered = (
        rf"\b{house},?{_GAP}{titled}{after}{tail}",
        rf"\b{house}(?:{_GAP}(?:bis|ter))?,?{_GAP}{before}{_GAP}{named}{tail}",
        rf"\b[{UPPER}][{LOWER}-]*(?:{'|'.join(streets['joined'])})\.?{_GAP}{house}{tail}",
        rf"(?<!\w)(?i:{_choice(streets['box'])})\.?[ \t]*\d+{tail}",
    )
    # 'C/' ends in no letter.
    word = rf"(?:(?i:{_choice(streets['before'])})\.?)"
    first = rf"(?<!\w){word}{_GAP}{named},?{_GAP}(?:n[ºo.°]+[ \t]*)?{house}{tail}"
    return {"address": "|".join(numbered), "address before": first}


def _numbers() -> dict[str, str]:
    lead = r"(?:[ \t]*(?:number|no|nr|num|id|nº|n°|clínica|clinica)\b\.?)?[ \t]*(?:[#:.º°=-][ \t]*)*"
    code = (
        r"(?=(?:[A-Z0-9./ -]*?\d){3})(?=[A-Z0-9./-]*\d)[A-Z0-9]+(?:[./-]+[A-Z0-9]+)*"
        rf"(?: \d{{2,}}(?![\d/.-]|\s?{_UNIT}))*"
    )
    bare = (
        r"\b\d{3}-\d\d-\d{4}\b",
        r"\b[0-2](?:\.\d+){5,}\b",
        rf"(?<![\d.,/-])\d{{6,}}(?![\d,/]|\.\d|[ \t]?{_UNIT})",
        r"(?<![\w-])[A-Z]{1,5}-?\d{5,}(?:-\d+)*\b",
        r"(?<![\w-])[A-Z]{2,5}-\d{2,4}-\d{3,}\b",
    )
    label = rf"(?<![\w-])(?i:{_choice(lists()['id_labels'])})(?![^\W\d_])"
    return {
        "labelled number": rf"{label}{lead}(?P<number>(?:[A-Z]{{1,4}} )?{code})",
        "number": rf"(?P<number>{'|'.join(bare)})",
    }


def _phones() -> dict[str, str]:
    before, after = r"(?<![\d.,/-])", r"(?![\d/])"
    bare = (
        r"\(\d{2,5}\)[ \t]?\d[\d \t.-]{5,11}\d",
        rf"{before}(?:\+|00|\(00)\d{{1,3}}[\d \t./()-]{{7,16}}\d",
        rf"{before}(?:1[-. ])?\d{{3}}[-. ]\d{{3}}[-. ]\d{{4}}(?!\d)",
        rf"{before}0\d{{1,4}}(?:[ ./-]?\d{{2,}}){{2,5}}{after}",
        rf"{before}\d{{2,3}}(?: \d{{2,3}}){{2,4}}(?![\d/]|\s?{_UNIT})",
    )
    label = rf"(?<!\w)(?i:{_choice(lists()['phone_labels'])})\b[.:#)]*(?:[ \t]*(?i:no|number|at|oder|or)\b\.?)?"
    return {
        "labelled phone": rf"{label}[ \t:]*(?P<number>[+(]?\d[\d \t()./+-]{{2,18}}\d)",
        "phone": rf"(?P<number>{'|'.join(bare)})",
    }


def _names() -> dict[str, str]:
    known = lists()
    particle = "|".join(sorted(map(re.escape, known["particles"]), key=len, reverse=True))
    initial = rf"[{UPPER}]\.?(?![{LOWER}])"
    part = rf"(?:(?:(?i:{particle}){_GAP}){{1,2}}|[dDlLoO]['\u2019])?(?:{CAPITAL}|{initial})"
    run = rf"{part}(?:(?:{_GAP}|,{_GAP}(?=[{UPPER}])|(?<=\.)){part}){{0,4}}"
    plain = rf"{part}(?:{_GAP}{part}){{1,4}}"
    titles, line = _choice(known["titles"]), r"[ \t]*\n?[ \t]*"
    more_titles = rf"(?:(?:{titles}|med)\b\.?{_GAP}){{0,3}}"
    titled = rf"(?:(?:{titles})\b\.?(?:\(a\)\.?)?{_GAP}{more_titles})"
    credentials = _choice([*map(str.upper, known["credentials"]), "Facharzt", "Fachärztin", "PhD", "Ph.D", "MBChB"])
    years = r"\d{1,3}[ -]?(?:[MF]\b|y/?o\b|years?|year-old|años|ans|anos|Jahre|J\.)"
    aside = r"\((?:MRN|DOB|ID|geb|NHC|IPP|\d{5})"
    label = rf"(?<!\w)(?i:{_choice(known['name_labels'])})(?:\(s\))?[ \t]*[:\uff1a]"
    return {
        "titled": rf"(?<![\w']){titled}(?P<name>{part}(?:{_GAP}{part}){{0,4}})",
        "labelled name": rf"{label}{line}{titled}?(?P<name>{run})",
        "led name": rf"(?<!\w)(?i:{_choice(known['name_leads'])})\b[.:]?{line}{titled}?(?P<name>{run})",
        "credited": rf"(?<!\w)(?P<name>{plain}),?{_GAP}(?:{credentials})(?![\w-])",
        "aged": rf"(?<!\w)(?P<name>{plain}),?{_GAP}(?:de{_GAP})?(?:{years}|geb\.|née?{_GAP}le|{aside})",
        "known by role": rf"(?<!\w)(?:I|[Pp]atient|by|with|por|par|to),?{_GAP}(?P<name>{plain})",
    }
