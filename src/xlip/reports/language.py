"""The language of a report, from the words that such reports repeat: enough for two words, and no model to download."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files

from xlip.reports.headers import single_headers
from xlip.reports.words import fold

UNKNOWN = "und"
"""A text long enough to tell, in none of the languages (ISO 639)."""
ENOUGH = 6
"""Words from which on a text without a single word of a known language counts as unknown."""
LONGEST = 4000
"""Characters that are looked at."""
KEPT = 50_000
"""Words whose languages are remembered; a million reports must not fill the memory."""
_HALF = 0.5
_WORD = re.compile(r"[^\W\d_]+")
_TYPED_MARK = re.compile(r"\[[A-Z]+\]|[Xx]{4,}")
_SCRIPTS = (
    ("ja", re.compile("[\u3040-\u30ff]")),
    ("zh", re.compile("[\u4e00-\u9fff]")),
    ("ko", re.compile("[\uac00-\ud7af]")),
    ("ru", re.compile("[\u0400-\u04ff]")),
    ("el", re.compile("[\u0370-\u03ff]{3}")),
    ("ar", re.compile("[\u0600-\u06ff]")),
    ("he", re.compile("[\u0590-\u05ff]")),
    ("hi", re.compile("[\u0900-\u097f]")),
    ("th", re.compile("[\u0e00-\u0e7f]")),
)
"""Scripts stand for their most frequent language: which it is does not matter to a tagger that knows none of them."""


@dataclass(frozen=True)
class Profiles:
    """Language -> weight, of each word, header, ending and letter."""

    words: dict[str, dict[str, float]]
    headers: dict[str, dict[str, float]]
    """Headers of one word: they count half, for a template may be of another language than what is written in it."""
    endings: tuple[tuple[str, str], ...]
    letters: dict[str, tuple[str, ...]]


@cache
def profiles() -> Profiles:
    """The lists of languages.yaml."""
    import yaml

    raw = yaml.safe_load(files("xlip.reports").joinpath("languages.yaml").read_text("utf-8"))
    words: dict[str, list[str]] = {}
    letters: dict[str, list[str]] = {}
    for language, entry in raw.items():
        for word in {fold(word) for word in entry["words"].split()}:
            words.setdefault(word, []).append(language)
        for letter in entry.get("letters", ""):
            letters.setdefault(letter, []).append(language)
    endings = [(ending, language) for language, entry in raw.items() for ending in entry.get("endings", ())]
    return Profiles(
        _shared(words),
        _shared(_header_languages(), _HALF),
        tuple(endings),
        {letter: tuple(known) for letter, known in letters.items()},
    )


def _header_languages() -> dict[str, list[str]]:
    """Header of one word, as it is written and without accents -> its languages; with accents it is more certain."""
    found: dict[str, list[str]] = {}
    for language, header in single_headers():
        for form in {header, fold(header)}:
            if language not in found.setdefault(form, []):
                found[form].append(language)
    return found


def _shared(words: dict[str, list[str]], weight: float = 1.0) -> dict[str, dict[str, float]]:
    return {word: dict.fromkeys(known, weight / len(known)) for word, known in words.items()}


def language_of(text: str) -> str:
    """ISO 639 code of the language; '' where the words decide nothing, `UNKNOWN` where they are of no known language.

    Measured in tests/reports/test_whole.py.
    """
    read = text[:LONGEST]
    if "[" in read or "XX" in read or "xx" in read:
        read = _TYPED_MARK.sub(" ", read)
    if not read.isascii():
        for language, script in _SCRIPTS:
            if len(script.findall(read)) * 4 > len(_WORD.findall(read)):
                return language
    words = _WORD.findall(read.casefold())
    scores = _scores(words)
    if not scores:
        return UNKNOWN if len(words) >= ENOUGH else ""
    (best, score), *others = sorted(scores.items(), key=lambda item: -item[1])[:2]
    if score < _HALF or (others and others[0][1] == score and "en" in (best, others[0][0])):
        return ""
    return best


def _scores(words: list[str]) -> dict[str, float]:
    scores: dict[str, float] = {}
    for word in words:
        for language, weight in _evidence(word):
            scores[language] = scores.get(language, 0.0) + weight
    return scores


@lru_cache(KEPT)
def _evidence(word: str) -> tuple[tuple[str, float], ...]:
    """What one word says: languages and weights."""
    known, plain = profiles(), fold(word)
    found = [*(known.headers.get(word) or known.headers.get(plain) or known.words.get(plain, {})).items()]
    if not found and len(word) > 5:
        found += [(language, _HALF) for ending, language in known.endings if word.endswith(ending)]
    if not word.isascii():
        for letter in sorted(known.letters.keys() & set(word)):
            speakers = known.letters[letter]
            found += [(language, _HALF / len(speakers)) for language in speakers]
    return tuple(found)
