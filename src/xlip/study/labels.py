"""What is known of a kind in a study: its states, their codes in files and arrays, what an uncertain one counts as."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cache
from typing import Any

import numpy as np

from xlip.errors import XLIPError
from xlip.study.kinds import canonical

Array = np.ndarray[Any, Any]


class LabelState(IntEnum):
    """What is known of a kind in a study; the value is the code in arrays and tensors (int8).

    Targets and truth hold `UNKNOWN`, `ABSENT` and `PRESENT` alone: a policy has decided on what was `UNCERTAIN`, and
    everything below 0 takes no part. Files have codes of their own, see `to_file` and `from_file`.
    """

    UNKNOWN = -1
    ABSENT = 0
    PRESENT = 1
    UNCERTAIN = 2

    @property
    def word(self) -> str:
        """Its name in reports, tables and options."""
        return self.name.lower()


UNKNOWN, ABSENT, PRESENT, UNCERTAIN = LabelState
STATED = {state.word: state for state in (PRESENT, ABSENT, UNCERTAIN)}
"""The states that a label or a report can give, by their words."""
_FILE_CODES = {PRESENT: 1, ABSENT: 0, UNCERTAIN: -1}
"""Those of CheXpert's tables; what is unknown is not there."""
_STRENGTH = (UNKNOWN, ABSENT, UNCERTAIN, PRESENT)
_FROM_FILE = {code: state for state, code in _FILE_CODES.items()}


def to_file(state: int) -> int:
    """The code in Parquet: 1 present, 0 absent, -1 uncertain.

    Raises:
        XLIPError: any other state; a kind of which nothing is known is left out of a study's labels.
    """
    if state not in _FILE_CODES:
        wanted = ", ".join(f"{one.value} {one.word}" for one in _FILE_CODES)
        raise XLIPError(f"label: expected one of the states {wanted}, got {int(state)}; leave out what is unknown")
    return _FILE_CODES[LabelState(state)]


def from_file(code: int) -> LabelState:
    """The state that `to_file` wrote.

    Raises:
        XLIPError: a code that it does not write.
    """
    if code not in _FROM_FILE:
        raise XLIPError(f"label: expected the code 1 present, 0 absent or -1 uncertain in the file, got {code}")
    return _FROM_FILE[code]


def stronger(one: LabelState | None, other: LabelState) -> LabelState:
    """What holds of a kind of which several columns, rows or readers say something.

    Present outweighs uncertain, which outweighs absent, which outweighs unknown (None): who looked for a tube and found
    none did not look for the pacemaker that another saw.
    """
    return other if one is None or _STRENGTH.index(other) > _STRENGTH.index(one) else one


def label_codes(labels: Sequence[Mapping[str, int]], kinds: Sequence[str]) -> Array:
    """(n, K) int8 of `LabelState`, `UNKNOWN` where a kind is missing."""
    rows = [[known.get(kind, UNKNOWN) for kind in kinds] for known in labels]
    return np.array(rows, np.int8).reshape(len(labels), len(kinds))


def truth(codes: Array) -> Array:
    """Codes as every measurement counts them: what is uncertain is unknown."""
    return np.where(codes == UNCERTAIN, codes.dtype.type(UNKNOWN), codes)


def one_class(targets: Array) -> Array:
    """(K,) True where a column of targets (n, K) lacks positives or negatives: nothing can be learnt or measured."""
    lacking: Array = ~((targets == PRESENT).any(0) & (targets == ABSENT).any(0))
    return lacking


@dataclass(frozen=True)
class UncertainPolicy:
    """What an uncertain label counts as wherever labels teach: in pre-training, probes and fine-tuning."""

    others: LabelState = UNKNOWN
    """PRESENT, ABSENT, or UNKNOWN = ignored; of the kinds that `by_kind` does not name."""
    by_kind: Mapping[str, LabelState] = field(default_factory=dict)

    @classmethod
    @cache
    def parse(cls, text: str, option: str = "uncertain") -> UncertainPolicy:
        """The policy of an option's text.

        Args:
            text: ignore, present, absent, chexpert, or `KIND=STATE,...` with `*` for the kinds not named, which are
                ignored otherwise.
            option: what a message calls it.

        Raises:
            XLIPError: text that says something else, names an unknown kind, or a kind twice.
        """
        if text == "chexpert":
            return cls(by_kind=_CHEXPERT)
        if text in _COUNTS_AS:
            return cls(_COUNTS_AS[text])
        table: dict[str, LabelState] = {}
        for part in text.split(","):
            name, _, word = (piece.strip() for piece in part.partition("="))
            if word not in _COUNTS_AS:
                wanted = f"{', '.join(_COUNTS_AS)}, chexpert or KIND=STATE,..."
                raise XLIPError(f"{option}: expected {wanted}; got {part.strip()!r}")
            kind = name if name == "*" else canonical(name)
            if kind in table:
                raise XLIPError(f"{option}: {text!r} names {kind} twice; keep one")
            table[kind] = _COUNTS_AS[word]
        return cls(table.pop("*", UNKNOWN), table)

    def counts_as(self, kinds: Sequence[str]) -> Array:
        """(K,) int8: the state that an uncertain label of each kind becomes."""
        return np.array([self.by_kind.get(kind, self.others) for kind in kinds], np.int8)

    def targets(self, codes: Array, kinds: Sequence[str]) -> Array:
        """Codes (n, K) -> targets (n, K) of 1, 0 and -1 = ignored; nothing but uncertain labels changes."""
        return np.where(codes == UNCERTAIN, self.counts_as(kinds), codes)


_COUNTS_AS = {"ignore": UNKNOWN, "present": PRESENT, "absent": ABSENT}
_CHEXPERT = {
    **dict.fromkeys(("Atelectasis", "Edema", "Effusion"), PRESENT),
    **dict.fromkeys(("Cardiomegaly", "Consolidation"), ABSENT),
}
"""The choice published with CheXpert for its five competition labels; the others are ignored.

The rule: docs/protocols.md, sets.
"""
