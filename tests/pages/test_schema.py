from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluations import result
from xlip.errors import XLIPError
from xlip.pages.evaluation import from_result
from xlip.pages.schema import anything, check_metrics, interval, share

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def metrics() -> dict[str, Any]:
    return copy.deepcopy(dict(from_result(result()).metrics))


def test_what_an_evaluator_returns_passes() -> None:
    check_metrics(metrics(), "metrics.json")


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("macro_auroc",), 1.2, r"m\.macro_auroc: expected a number of 0 to 1 or null, got 1\.2"),
        (("macro_auroc",), "0.8", r"m\.macro_auroc: .*got '0\.8'"),
        (("macro_auroc",), True, r"m\.macro_auroc: .*got True"),
        (("images",), -1, r"m\.images: expected a whole number from 0, got -1"),
        (("images",), 3.0, r"m\.images: .*got 3\.0"),
        (("split",), "", r"m\.split: expected a text, got ''"),
        (("per_kind", "Effusion", "auroc"), float("nan"), r"m\.per_kind\.Effusion\.auroc: .*got nan"),
        (("per_kind", "Effusion", "ci95"), [0.9, 0.1], r"m\.per_kind\.Effusion\.ci95: expected \[low, high\] with"),
        (("per_kind", "Effusion", "ci95"), [0.1], r"m\.per_kind\.Effusion\.ci95: expected \[low, high\], got \[0\.1\]"),
        (("per_kind", "Effusion", "ci95"), [None, 0.1], r"m\.per_kind\.Effusion\.ci95: "),
        (("per_kind",), [], r"m\.per_kind: expected an object, got \[\]"),
        (("left_out",), ["Scoliosis"], r"m\.left_out: 'Scoliosis' is not in per_kind"),
        (("sensitivity",), {"sets": {"a": {"macro_auroc": 0.5}}}, r"m\.sensitivity\.sets\.a: the field 'per_kind'"),
        (("made_up",), {"deep": [float("inf")]}, r"m\.made_up\.deep\[0\]: expected a finite number or null, got inf"),
    ],
)
def test_a_wrong_field_is_named_with_its_place(path: tuple[str, ...], value: Any, message: str) -> None:
    changed = metrics()
    at = changed
    for name in path[:-1]:
        at = at[name]
    at[path[-1]] = value
    with pytest.raises(XLIPError, match=message) as caught:
        check_metrics(changed, "m")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["checkpoint", "split", "preprocessing", "macro_auroc", "macro_ci95", "left_out"])
def test_a_missing_field_is_named(name: str) -> None:
    changed = metrics()
    del changed[name]
    with pytest.raises(XLIPError, match=f"m: the field '{name}' is missing"):
        check_metrics(changed, "m")


@pytest.mark.parametrize("value", [None, [], 3, "text"])
def test_what_is_no_object_is_refused(value: Any) -> None:
    with pytest.raises(XLIPError, match="m: expected an object"):
        check_metrics(value, "m")


def test_an_evaluator_that_does_not_classify_needs_no_kinds() -> None:
    identity = {"checkpoint": "a", "split": "s:1:b", "preprocessing": "letterbox/64"}
    found = [{"what": "a report", "hit": True, "score": 0.3}]
    examples = [{"query": "q", "found": found}]
    check_metrics({"evaluator": "retrieval", **identity, "recall": {"1": 0.5}, "examples": examples}, "m")
    with pytest.raises(XLIPError, match=r"m\.examples\[0\]\.found: expected a list"):
        check_metrics({"evaluator": "retrieval", **identity, "examples": [{"query": "q", "found": 3}]}, "m")


@settings(max_examples=40, deadline=None)
@given(JSON_VALUES)
def test_all_json_is_anything_and_survives_the_trip(value: Any) -> None:
    anything(json.loads(json.dumps(value)), "m")


@given(st.floats() | st.integers())
def test_a_share_is_what_lies_in_the_unit_interval(value: float) -> None:
    if 0 <= value <= 1:
        share(value, "m")
        interval([value, value], "m")
    else:
        with pytest.raises(XLIPError):
            share(value, "m")
