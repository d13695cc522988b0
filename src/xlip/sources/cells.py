"""What a cell says: nothing, a number, an id, a sex, an age, a split, several things."""

from __future__ import annotations

import ast
import math
import re
import unicodedata
from collections.abc import Iterable, Mapping

from xlip.tables.row import INVISIBLE

MISSING = frozenset({
    *("", "nan", "none", "null", "n/a", "na", "#n/a", "#na", "<na>", "nat", "nil", "\\n", ".", "(null)", "[null]"),
    *("<null>", "(blank)", "(empty)", "(leer)", "missing"),
})  # fmt: skip
"""Words that mark a cell as empty, in capitals or not: those of pandas, data bases (`\\N`), SAS and Stata (`.`) ..."""
FAILED = frozenset({
    *("#ref!", "#value!", "#name?", "#div/0!", "#num!", "#null!", "#spill!", "#calc!", "#error!", "#getting_data"),
    *("#bezug!", "#wert!", "#zahl!", "#nv", "#valeur!", "#nombre!", "#nom?", "#nul!", "#¡ref!", "#¡valor!"),
    *("#¿nombre?", "#¡num!", "#¡div/0!", "#¡nulo!", "#####"),
})  # fmt: skip
"""What a spreadsheet shows where a formula failed, in any case."""
_NOTHING = MISSING | FAILED | {"-", "--", "---", "–", "—"}
"""What an id, a path or a text that is nothing may look like. As a label a dash may mean negative: there it is none."""
_LONGEST_NOTHING = max(map(len, _NOTHING))
_QUOTED = re.compile(r'="(.*)"', re.DOTALL)
"""A formula by which a table keeps a spreadsheet from taking an id for a number."""
_FEMALE = frozenset({
    *("f", "female", "woman", "w", "weiblich", "frau", "mujer", "femenino", "femenina", "fem", "femme", "féminin"),
    *("feminin", "féminine", "feminine", "feminino", "feminina", "mulher", "femmina", "femminile", "donna", "vrouw"),
    *("vrouwelijk", "kvinna", "kvinde", "kvinne", "kobieta", "żeńska", "girl", "hembra", "fille"),
})  # fmt: skip
_MALE = frozenset({
    *("m", "male", "man", "männlich", "maennlich", "mann", "hombre", "masculino", "masc", "varón", "varon", "homme"),
    *("masculin", "masculine", "mâle", "homem", "maschio", "maschile", "uomo", "mannelijk", "mand", "mężczyzna"),
    *("męska", "boy", "macho", "garçon"),
})  # fmt: skip
_SPLITS = {
    **dict.fromkeys(("train", "training", "trn", "tr"), "train"),
    **dict.fromkeys(("val", "valid", "validate", "validation", "dev", "development"), "val"),
    **dict.fromkeys(("test", "testing", "tst", "holdout", "held-out"), "test"),
    "unused": "unused",
}
_UNITS = {
    **dict.fromkeys(("", "y", "yr", "yrs", "year", "years", "yo", "a", "an", "ans", "año", "años", "ano", "anos"), 1.0),
    **dict.fromkeys(("jahr", "jahre", "anni", "anno", "jaar"), 1.0),
    **dict.fromkeys(("m", "mo", "mos", "mon", "month", "months", "monat", "monate", "mois", "mes", "meses"), 12.0),
    **dict.fromkeys(("w", "wk", "wks", "week", "weeks", "woche", "wochen", "semaine", "semaines"), 52.18),
    **dict.fromkeys(("semana", "semanas"), 52.18),
    **dict.fromkeys(("d", "day", "days", "tag", "tage", "jour", "jours", "día", "días", "dia", "dias"), 365.25),
}
"""Unit of an age -> how many make a year."""
OLDEST = 120.0
"""Years; more is a fault of the table."""


def said(text: str | None) -> str:
    """The text of a cell without the space around it; '' where it says nothing.

    Of `="00123"`, which keeps a spreadsheet from taking an id for a number, the part in quotation marks.
    """
    if not text:
        return ""
    text = text.strip()
    if text[:2] == '="' and (quoted := _QUOTED.fullmatch(text)):
        text = quoted.group(1).replace('""', '"').strip()
    return "" if len(text) <= _LONGEST_NOTHING and text.lower() in _NOTHING else text


def has_failed(text: str | None) -> bool:
    """Whether a cell shows that a formula of a spreadsheet failed."""
    return bool(text) and text.lstrip()[:1] == "#" and text.strip().lower() in FAILED  # type: ignore[union-attr]


def number(text: str) -> float | None:
    """A finite number; None where the cell holds none."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def identifier(text: str | None) -> str:
    """An id as it is compared; '' for nothing.

    '123.0', which tables make of 123 when a row lacks it, is '123'; so is "'123", by which Excel is told that it is a
    text. Letters with accents are composed, and characters that nobody sees are left out.
    """
    text = said(text)
    if not text.isascii():
        text = said(unicodedata.normalize("NFC", text).translate(INVISIBLE))
    if text[:1] == "'":
        text = text[1:].strip()
    return text.partition(".")[0] if text.endswith("0") and "." in text and re.fullmatch(r"\d+\.0+", text) else text


def is_rounded(text: str) -> bool:
    """Whether an id is what a spreadsheet leaves of a long number ('1.23457E+12'): several ids become one."""
    return "+" in text and re.fullmatch(r"\d(?:[.,]\d+)?[eE]\+\d+", text.strip()) is not None


def sex_of(text: str, *, spanish: bool = False) -> str:
    """`F`, `M`, or nothing where the text says neither.

    Args:
        text: a letter or a word, in English, German, Spanish, French, Italian, Portuguese, Dutch ...
        spanish: M is mujer and H hombre, see `is_spanish`.
    """
    word = text.strip().lower().rstrip(".")
    if spanish and word in ("m", "h"):
        return "F" if word == "m" else "M"
    return "F" if word in _FEMALE else "M" if word in _MALE else "M" if word == "h" else ""


def is_spanish(words: Iterable[str]) -> bool:
    """Whether a column of sexes that holds M and H, and no F, means mujer and hombre."""
    letters = _letters(words)
    return {"m", "h"} <= letters and not letters & (_FEMALE - {"mujer", "femenino", "femenina", "hembra"})


def is_either(words: Iterable[str]) -> bool:
    """Whether a column of sexes holds M and V alone: mujer and varón, or man and vrouw; nobody can tell."""
    return {"m", "v"} <= (letters := _letters(words)) and not letters & {"f", "h", "w"}


def _letters(words: Iterable[str]) -> set[str]:
    return {word.strip().lower().rstrip(".") for word in words}


def years(text: str) -> float | None:
    """Age in years from `57`, `057Y`, `18 months`, `45yrs`, `57,5` ...; None where the text is no age.

    A date is none, and neither is a number above `OLDEST`.
    """
    match = re.fullmatch(r"\s*(\d{1,5}(?:[.,]\d+)?)\s*-?\s*([^\W\d_]*)\.?(?:[ -]olds?)?\s*", text)
    unit = _UNITS.get(match.group(2).lower()) if match else None
    if match is None or unit is None:
        return None
    age = round(float(match.group(1).replace(",", ".")) / unit, 2)
    return age if age <= OLDEST else None


def split_of(text: str) -> str | None:
    """`train`, `val`, `test` or `unused`; None where the text is none of their names."""
    return _SPLITS.get(text.strip().lower())


def spacing_of(row: Mapping[str, str], vertical: str, horizontal: str) -> tuple[float, float] | None:
    """Pixel spacing (rows, columns; millimetres) from two columns of a table."""
    pair = number(row.get(vertical, "")), number(row.get(horizontal, ""))
    return (pair[0], pair[1]) if pair[0] and pair[1] and min(pair[0], pair[1]) > 0 else None


def several(text: str) -> list[str]:
    """The parts of a cell that holds several things: a Python or JSON list, or parts between |, ; , or line breaks.

    A comma separates only where no bar and no semicolon does.
    """
    text = text.strip()
    if text[:1] in "[(" and text[-1:] in ")]" and text:
        try:
            value = ast.literal_eval(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            value = None
        if isinstance(value, list | tuple):
            return [str(item).strip() for item in value if str(item).strip()]
    separator = next((mark for mark in ("|", ";", "\n", ",") if mark in text), None)
    return [part.strip() for part in text.split(separator) if part.strip()] if separator else [text] if text else []
