"""Whether a chest has any finding at all: what tells a healthy negative from an otherwise sick one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from xlip.study.kinds import NO_FINDING, kinds
from xlip.study.labels import ABSENT, PRESENT, UNKNOWN


def any_finding(labels: Iterable[Mapping[str, int]]) -> np.ndarray[Any, Any]:
    """(n,) int8 of `LabelState` for labels by kind: PRESENT, ABSENT or UNKNOWN.

    PRESENT: some kind is present, or No_Finding is absent. ABSENT: No_Finding is present; or it is not labelled, and
    at least two kinds are, all of them absent (a set of one label says nothing of the rest). Kinds that are incidental
    (devices, a worn spine) count neither way. Anything else, an uncertain kind among it, is UNKNOWN.
    """
    incidental = frozenset(id_ for id_, kind in kinds().items() if kind.incidental)
    return np.array([_state(one, incidental) for one in labels], np.int8)


def _state(labels: Mapping[str, int], incidental: frozenset[str]) -> int:
    stated = [state for kind, state in labels.items() if kind != NO_FINDING and kind not in incidental]
    healthy = labels.get(NO_FINDING, UNKNOWN)
    if PRESENT in stated or healthy == ABSENT:
        return int(PRESENT)
    if healthy == PRESENT or (healthy == UNKNOWN and len(stated) > 1 and set(stated) == {ABSENT}):
        return int(ABSENT)
    return int(UNKNOWN)
