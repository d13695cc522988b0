"""What an uncertain label counts as in training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from xlip.errors import XLIPError
from xlip.study.kinds import canonical
from xlip.study.labels import UNCERTAIN_CODE, UNKNOWN

Array = np.ndarray[Any, Any]
STATES = {"ignore": UNKNOWN, "present": 1, "absent": 0}
CHEXPERT_POLICY = "Atelectasis=present,Edema=present,Effusion=present,Cardiomegaly=absent,Consolidation=absent"
"""The choice published with CheXpert for its five competition labels (PROTOCOLS 1); the others are ignored."""


def resolve(codes: Array, kinds: Sequence[str], policy: str) -> Array:
    """Codes (n, K) -> targets (n, K) of 1, 0 and -1 = ignored, the uncertain ones as the policy says.

    Args:
        codes: as `xlip.study.labels` makes them.
        kinds: the K columns.
        policy: ignore, present, absent, chexpert, or `KIND=STATE,...` with `*` for the kinds not named.

    Raises:
        XLIPError: a policy that says something else, or names an unknown kind.
    """
    table = _policy(policy)
    targets = codes.copy()
    for column, kind in enumerate(kinds):
        state = table.get(kind, table["*"])
        targets[codes[:, column] == UNCERTAIN_CODE, column] = state
    return targets


def _policy(text: str) -> dict[str, int]:
    if text == "chexpert":
        return _policy(CHEXPERT_POLICY)
    if text in STATES:
        return {"*": STATES[text]}
    table = {"*": UNKNOWN}
    for part in text.split(","):
        kind, _, state = (piece.strip() for piece in part.partition("="))
        if state not in STATES:
            raise XLIPError(
                f"uncertain: expected ignore, present, absent, chexpert or KIND=STATE,...; got {part.strip()!r}"
            )
        table["*" if kind == "*" else canonical(kind)] = STATES[state]
    return table


def one_class(targets: Array) -> Array:
    """(K,) True where a column of targets (n, K) lacks positives or negatives: nothing can be learnt or measured."""
    lacking: Array = ~((targets == 1).any(0) & (targets == 0).any(0))
    return lacking
