"""The identifiers that are known of a patient (header, row of a table), taken out of its report's text."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

NAME, NUMBER = "[NAME]", "[ID]"
_SEPARATORS = re.compile(r"[\s^=,;\\/]+")
_COMMON = frozenset({
    *("dr", "dra", "prof", "mr", "mrs", "ms", "md", "phd", "med", "von", "van", "de", "la", "le", "del", "the", "of"),
    *("pa", "ap", "ll", "rl", "lt", "rt", "cm", "mm", "no"),
})  # fmt: skip
"""Titles, particles and words of every report: alone they name nobody."""
_SPELLINGS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue"})


def without_identifiers(text: str, identifiers: Iterable[str]) -> str:
    """The text with every known name and number replaced by a mark, in any case and order.

    A number goes wherever it stands; a name where it stands as a word of its own: each part of it (`Müller^Anna` are
    two) from two letters on, with its accents, without them, and as German writes them out.
    """
    numbers, names = set(), set()
    for identifier in identifiers:
        for part in _SEPARATORS.split(identifier):
            word = part.strip(".,()[]-_")
            if any(letter.isdigit() for letter in word):
                numbers.add(word)
            else:
                names |= {spelt for half in (word, *word.split("-")) for spelt in _spellings(half)}
    for word in sorted(numbers, key=len, reverse=True):
        alone = len(word) < 6  # a short number inside a longer one is another
        pattern = rf"(?<![A-Za-z0-9]){re.escape(word)}(?![A-Za-z0-9])" if alone else re.escape(word)
        text = re.sub(pattern, NUMBER, text, flags=re.IGNORECASE)
    for word in sorted(names, key=len, reverse=True):
        if len(word) > 1 and word.lower() not in _COMMON:
            text = re.sub(rf"(?<!\w){re.escape(word)}(?!\w)", NAME, text, flags=re.IGNORECASE)
    return text


def _spellings(word: str) -> set[str]:
    plain = unicodedata.normalize("NFKD", word).encode("ascii", "ignore").decode()
    return {word, plain, word.translate(_SPELLINGS)} if plain else {word}
