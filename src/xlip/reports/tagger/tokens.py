"""Report text to a spaCy `Doc` of folded words; the offsets into the text are kept beside it."""

from __future__ import annotations

import re
from typing import Any

from spacy.tokens import Doc

from xlip.reports.tagger.lexicon import WORD, Lexicon
from xlip.reports.tagger.misspelling import KEPT, Spelling
from xlip.reports.tagger.places import PLAIN_WORDS
from xlip.reports.tagger.reading import OTHER, READING, Reading
from xlip.reports.words import fold

MARKS = frozenset(".,;:?!()/-\u2013\u2014")
JOINERS = ("and", "or", "nor")
"""Words that make a list; a lexicon of another language spells its own as these."""
_MARKUP = re.compile(r"<[A-Za-z/!][^<>]{0,200}>|&(?:[A-Za-z]{2,8}|#\d{1,6});|\b[Xx]{4,}\b")
"""Tags and entities of HTML and the XXXX of de-identification: read as white space."""


class _Folded(dict[str, str]):
    """Word as it is written -> the lexicon's word; one that was seen before costs a look-up."""

    def __init__(self, spelling: Spelling) -> None:
        super().__init__()
        self._spelling = spelling

    def __missing__(self, word: str) -> str:
        found = self._spelling[fold(word)]
        if len(self) < KEPT:
            self[word] = found
        return found


class ReportTokenizer:
    """A spaCy tokenizer that folds case, accents, plurals and known misspellings, so that phrases match as they are."""

    def __init__(self, vocab: Any, lexicon: Lexicon) -> None:
        self.vocab = vocab
        known = {**{word: word for word in (*MARKS, *JOINERS, *PLAIN_WORDS)}, **lexicon.spelling}
        self._known = _Folded(Spelling(known, lexicon.guessed, lexicon.never_guessed, OTHER))

    def __call__(self, text: str) -> Doc:
        """A `Doc` whose words are folded; `doc.user_data[READING]` holds the text and the tokens' characters."""
        read = _MARKUP.sub(lambda match: " " * len(match.group()), text) if _may_hold_markup(text) else text
        matches = list(WORD.finditer(read))
        known = self._known
        words = [known[match.group()] for match in matches]
        doc = Doc(self.vocab, words=words)
        doc.user_data[READING] = Reading(text, words, [m.start() for m in matches], [m.end() for m in matches])
        return doc


def _may_hold_markup(text: str) -> bool:
    return "<" in text or "&" in text or "xxxx" in text or "XXXX" in text
