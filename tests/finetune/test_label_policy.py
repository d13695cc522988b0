from __future__ import annotations

import numpy as np
import pytest

from xlip.errors import XLIPError
from xlip.finetune.labels import one_class, resolve
from xlip.study.labels import label_codes
from xlip.study.record import ABSENT, PRESENT, UNCERTAIN

KINDS = ("Edema", "Cardiomegaly", "Nodule")
CODES = label_codes(
    [
        {"Edema": UNCERTAIN, "Cardiomegaly": UNCERTAIN, "Nodule": UNCERTAIN},
        {"Edema": PRESENT, "Cardiomegaly": ABSENT},
    ],
    KINDS,
)


def test_states_become_codes() -> None:
    assert CODES.tolist() == [[2, 2, 2], [1, 0, -1]]


@pytest.mark.parametrize(
    ("policy", "first"),
    [
        ("ignore", [-1, -1, -1]),
        ("present", [1, 1, 1]),
        ("absent", [0, 0, 0]),
        ("chexpert", [1, 0, -1]),
        ("edema=present, nodule=absent", [1, -1, 0]),
        ("Edema=absent,*=present", [0, 1, 1]),
    ],
)
def test_a_policy_touches_uncertain_labels_alone(policy: str, first: list[int]) -> None:
    targets = resolve(CODES, KINDS, policy)
    assert targets[0].tolist() == first
    assert targets[1].tolist() == CODES[1].tolist()
    assert CODES[0].tolist() == [2, 2, 2]


@pytest.mark.parametrize(("policy", "message"), [("maybe", "got 'maybe'"), ("Edemaa=present", "unknown kind 'Edemaa'")])
def test_a_policy_that_cannot_be_followed_is_refused(policy: str, message: str) -> None:
    with pytest.raises(XLIPError, match=message):
        resolve(CODES, KINDS, policy)


def test_a_column_of_one_class_is_found() -> None:
    targets = np.array([[1, 1, -1, 0], [0, 1, -1, -1], [-1, -1, -1, 1]])
    assert one_class(targets).tolist() == [False, True, True, False]
