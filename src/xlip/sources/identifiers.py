"""The identifiers that are known of a patient (header, row of a table), taken out of its report's text."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from xlip.reports.deidentify import is_report_word

NAME, NUMBER = "[NAME]", "[ID]"
_SEPARATORS = re.compile(r"[\s^=,;\\/]+")
_COMMON = frozenset({
    *("dr", "dra", "prof", "mr", "mrs", "ms", "md", "phd", "med", "von", "van", "de", "la", "le", "del", "the", "of"),
    *("pa", "ap", "ll", "rl", "lt", "rt", "cm", "mm", "no"),
})  # fmt: skip
"""Titles, particles and words of every report: alone they identify no person."""
_PEOPLE = re.compile(
    "(?<!file)(?<!image)(?<!path)name|nombre|apellido|^nom$|prenom|sobrenome|physician|doctor|radiologist|arzt|"
    "medico|medecin|phone|address|adresse|direccion"
)
"""Columns whose cells name people."""
_SHORTEST_NUMBER = 4
"""Digits; a shorter number alone ('5') is also a size or a count, and what labels it ('MRN 5') is found by rules."""
_SPELLINGS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue"})


def without_identifiers(text: str, identifiers: Iterable[str]) -> str:
    """The text with every known name and number replaced by a mark, in any case and order.

    A number goes wherever it stands; a name where it stands as a word of its own: each part of it (`Müller^Anna` are
    two) from two letters on, with its accents, without them, and as German writes them out. A part that reports use as
    a word ('Small', 'Stone') goes only beside another part of the name: 'small stone' stays.
    """
    numbers, names = set(), set[str]()
    for identifier in identifiers:
        for part in _SEPARATORS.split(identifier):
            word = part.strip(".,()[]-_")
            if any(letter.isdigit() for letter in word):
                if not word.isdigit() or len(word) >= _SHORTEST_NUMBER:
                    numbers.add(word)
            else:
                names |= {spelt for half in (word, *word.split("-")) for spelt in _spellings(half)}
    lower = text.lower()
    for word in sorted(numbers, key=len, reverse=True):
        if _absent(word, lower):
            continue
        alone = len(word) < 6  # a short number inside a longer one is another
        pattern = rf"(?<![A-Za-z0-9]){re.escape(word)}(?![A-Za-z0-9])" if alone else re.escape(word)
        text = re.sub(pattern, NUMBER, text, flags=re.IGNORECASE)
    spoken = {word for word in names if is_report_word(word)}
    for word in sorted(names, key=len, reverse=True):
        if len(word) > 1 and word.lower() not in _COMMON and word not in spoken and not _absent(word, lower):
            text = re.sub(rf"(?<!\w){re.escape(word)}(?!\w)", NAME, text, flags=re.IGNORECASE)
    for word in spoken - _COMMON if NAME in text else ():
        beside = rf"(?<!\w){re.escape(word)}(?=,?\s+\[NAME\])|(?<=\[NAME\] ){re.escape(word)}(?!\w)"
        text = re.sub(rf"{beside}|(?<=\[NAME\], ){re.escape(word)}(?!\w)", NAME, text, flags=re.IGNORECASE)
    return text


def _absent(word: str, lower: str) -> bool:
    """Whether a word stands nowhere in a text in lower case: nearly every word, for which no expression is made."""
    return word.isascii() and word.lower() not in lower


def plain_name(column: str) -> str:
    """The name of a column in lower case without accents, spaces and signs."""
    ascii_ = unicodedata.normalize("NFKD", column).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]", "", ascii_.lower())


def people_columns(names: Iterable[str], taken: Iterable[str] = ()) -> tuple[str, ...]:
    """The columns whose cells name people, but for those that are used for something else."""
    others = frozenset(taken)
    return tuple(name for name in names if name not in others and _PEOPLE.search(plain_name(name)))


def words_of(text: str) -> frozenset[str]:
    """The words and numbers of a name or of a file's name, from three letters or digits on, in lower case."""
    return frozenset(word for word in re.split(r"[\W_]+", text.lower()) if len(word) > 2)


def _spellings(word: str) -> set[str]:
    plain = unicodedata.normalize("NFKD", word).encode("ascii", "ignore").decode()
    return {word, plain, word.translate(_SPELLINGS)} if plain else {word}
