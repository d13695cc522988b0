"""The language of a report, from the words that such reports repeat: enough for two words, and no model to download."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from xlip.reports.words import fold

UNKNOWN = "und"
"""A text long enough to tell, in none of the languages (ISO 639)."""
ENOUGH = 6
"""Words from which on a text without a single word of a known language counts as unknown."""
LONGEST = 4000
"""Characters that are looked at."""
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
    """Language -> weight, of each word, ending and letter."""

    words: dict[str, dict[str, float]]
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
        {word: dict.fromkeys(known, 1 / len(known)) for word, known in words.items()},
        tuple(endings),
        {letter: tuple(known) for letter, known in letters.items()},
    )


def language_of(text: str) -> str:
    """ISO 639 code of the language; '' where the words decide nothing, `UNKNOWN` where they are of no known language.

    Measured in tests/reports/test_language.py.
    """
    read = _TYPED_MARK.sub(" ", text[:LONGEST])
    if not read.isascii():
        for language, script in _SCRIPTS:
            if len(script.findall(read)) * 4 > len(_WORD.findall(read)):
                return language
    words = [word.casefold() for word in _WORD.findall(read)]
    scores = _scores(words)
    if not scores:
        return UNKNOWN if len(words) >= ENOUGH else ""
    (best, score), *others = sorted(scores.items(), key=lambda item: -item[1])[:2]
    if score < _HALF or (others and others[0][1] == score and "en" in (best, others[0][0])):
        return ""
    return best


def _scores(words: list[str]) -> dict[str, float]:
    known = profiles()
    scores: dict[str, float] = {}

    def add(language: str, weight: float) -> None:
        scores[language] = scores.get(language, 0.0) + weight

    for word in words:
        plain = fold(word)
        weights = known.words.get(plain)
        if weights:
            for language, weight in weights.items():
                add(language, weight)
        elif len(word) > 5:
            for ending, language in known.endings:
                if word.endswith(ending):
                    add(language, _HALF)
        if not word.isascii():
            for letter in set(word) - set(plain):
                speakers = known.letters.get(letter, ())
                for language in speakers:
                    add(language, _HALF / len(speakers))
    return scores
