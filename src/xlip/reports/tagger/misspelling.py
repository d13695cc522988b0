"""Words that are one slip away from a finding: 'Pnuemothorax', 'cardiomegely'.

A word that the lexicon lacks is read as a finding's where one edit (insert, delete, replace, swap of neighbours) makes
it so; two where the finding has eleven letters or the slip only moves letters. The first letter must be right. Found by
common deletions (Garbe's SymSpell): some hundred look-ups for a new word, one for a word seen before.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import combinations

SHORTEST, LONG = 6, 11
"""Letters of a finding's word from which on one edit, and two, are forgiven."""
KEPT = 50_000
"""Words of reports that are remembered; a million reports must not fill the memory."""


class Spelling(dict[str, str]):
    """Folded word -> the lexicon's word: itself, or what it inflects or misspells; `other` where there is none."""

    def __init__(self, known: Mapping[str, str], targets: Iterable[str], never: Iterable[str], other: str) -> None:
        """Take the words.

        Args:
            known: every word of the lexicon and what it is read as.
            targets: words of `known` whose misspellings count.
            never: words that look like one and are none.
            other: stands for every word outside the lexicon.
        """
        super().__init__(known)
        self._other, self._never = other, frozenset(never)
        self._index: dict[str, list[str]] = {}
        self._left = KEPT
        for word in sorted({word for word in targets if len(word) >= SHORTEST and word.isalpha()}):
            for shorter in _deletions(word, 2):
                self._index.setdefault(shorter, []).append(word)

    def __missing__(self, word: str) -> str:
        found = self._guess(word) if self._index and len(word) >= SHORTEST - 1 and word.isalpha() else self._other
        if self._left:
            self._left -= 1
            self[word] = found
        return found

    def _guess(self, word: str) -> str:
        if word in self._never or len(word) > 30:
            return self._other
        near: dict[int, set[str]] = {}
        for target in {target for shorter in _deletions(word, 2) for target in self._index.get(shorter, ())}:
            edits = distance(word, target)
            forgiven = 2 if len(target) >= LONG or sorted(word) == sorted(target) else 1
            if edits <= forgiven and word[0] == target[0]:
                near.setdefault(edits, set()).add(self[target])
        meant = near[min(near)] if near else set()
        return next(iter(meant)) if len(meant) == 1 else self._other


def _deletions(word: str, most: int) -> Iterator[str]:
    yield word
    for count in range(1, most + 1 if len(word) > SHORTEST + 2 else 2):
        for places in combinations(range(len(word)), count):
            yield "".join(letter for place, letter in enumerate(word) if place not in places)


def distance(one: str, other: str) -> int:
    """Edits between two words, a swap of neighbours being one (optimal string alignment)."""
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, start=1):
        last, before, row = before, row, [i]
        for j, wanted in enumerate(other, start=1):
            best = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != wanted))
            if i > 1 and j > 1 and letter == other[j - 2] and one[i - 2] == wanted:
                best = min(best, last[j - 2] + 1)
            row.append(best)
    return row[-1]
