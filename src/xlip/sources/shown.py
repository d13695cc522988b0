"""What of a cell that was not understood may stand in a table of drops, which leaves the hospital with the set."""

from __future__ import annotations

import re

from xlip.reports.deidentify import is_report_word

LONGEST = 20
_PLAIN = re.compile(r"[A-Za-z]|[-+]?\d{1,3}(?:[.,]\d{1,3})?")
_ANSWERS = frozenset({
    *("maybe", "perhaps", "probable", "probably", "possible", "possibly", "likely", "unlikely", "doubtful"),
    *("suspected", "confirmed", "borderline", "high", "low", "positive", "negative", "positiv", "negativ"),
    *("positivo", "negativo", "sometimes", "often", "never", "always", "quizas", "quizá", "vielleicht"),
    *("fraglich", "peut-être", "talvez", "dev", "hold", "out", "fold", "part", "fifth"),
    *("inf", "infinity"),
})  # fmt: skip
"""What people write into cells of labels, beside words of reports."""


def shown(cell: str) -> str:
    """A cell in quotation marks, or its form alone where it may name somebody: 'xxxx xxxxxx (not shown)'.

    Shown are short numbers, single letters, and words that reports use: 'maybe', '0.7', 'mild edema'. A cell of labels
    holds a name, or a record number, where a row has slipped by a column.
    """
    text = " ".join(cell.split())
    words = re.split(r"[\s|;=]+", text)
    if len(text) <= 2 * LONGEST and all(_harmless(word) for word in words):
        return repr(text[:LONGEST])
    form = re.sub(r"\d", "9", re.sub(r"[^\W\d_]", "x", text[:LONGEST]))
    return f"{form!r} (not shown: it may name somebody)"


def _harmless(word: str) -> bool:
    bare = word.strip(".,:?!()[]'\"<>+-").lower()
    if bare[:1].isalpha():
        bare = re.sub(r"_?\d{1,2}$", "", bare)  # fold1
    if bare[:1].isalpha():
        bare = re.sub(r"_?\d{1,2}$", "", bare)  # fold1
    return not bare or _PLAIN.fullmatch(bare) is not None or bare in _ANSWERS or is_report_word(bare)
