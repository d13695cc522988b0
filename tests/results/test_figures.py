from __future__ import annotations

import copy
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluations import result
from xlip.errors import XLIPError
from xlip.metrics.kinds import KindMetrics
from xlip.results import schema
from xlip.results.figures import KindFigures
from xlip.results.folder import metrics_json, result_of_json
from xlip.results.schema import SCHEMAS
from xlip.results.typed import Mean, checked

RESULTS = Path(schema.__file__).parent


def metrics() -> dict[str, Any]:
    return copy.deepcopy(json.loads(json.dumps(metrics_json(result()))))


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("macro_auroc",), 1.2, r"m\.macro_auroc: expected less than or equal to 1, got 1\.2"),
        (("macro_auroc",), "0.8", r"m\.macro_auroc: .*got '0\.8'"),
        (("macro_auroc",), True, r"m\.macro_auroc: .*got True"),
        (("images",), -1, r"m\.images: expected greater than or equal to 0, got -1"),
        (("images",), 3.0, r"m\.images: .*got 3\.0"),
        (("split",), "", r"m\.split: expected a text, got ''"),
        (
            ("per_kind", "Effusion", "made_up"),
            1,
            r"m\.per_kind\.Effusion: the field 'made_up' is unknown here; evaluate",
        ),
        (("evaluator",), "tea leaves", r"m\.evaluator: expected one of zeroshot, .*got 'tea leaves'"),
        (("table",), [{"share": "1"}], r"m\.table: expected a text"),
        (("per_kind", "Effusion", "ci95"), [0.9, 0.1], r"m\.per_kind\.Effusion\.ci95: expected \[low, high\] with"),
        (("per_kind", "Effusion", "ci95"), [0.1], r"m\.per_kind\.Effusion\.ci95: the field 1 is missing"),
        (("per_kind", "Effusion", "ci95"), [None, 0.1], r"m\.per_kind\.Effusion\.ci95: "),
        (("per_kind",), [], r"m\.per_kind: expected a valid dictionary, got \[\]"),
        (("left_out",), ["Scoliosis"], r"m\.left_out: 'Scoliosis' is not in per_kind"),
        (("sensitivity",), {"sets": {"a": {"macro_auroc": 0.5}}}, r"m\.sensitivity\.sets\.a: the field 'per_kind'"),
        (("made_up",), {"deep": [float("inf")]}, r"m\.made_up: expected a text, got"),
    ],
)
def test_a_wrong_field_is_named_with_its_place(path: tuple[str, ...], value: Any, message: str) -> None:
    changed = metrics()
    at = changed
    for name in path[:-1]:
        at = at[name]
    at[path[-1]] = value
    with pytest.raises(XLIPError, match=message) as caught:
        result_of_json(changed, "m")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["checkpoint", "split", "preprocessing", "macro_auroc", "macro_ci95", "left_out"])
def test_a_missing_field_is_named(name: str) -> None:
    changed = metrics()
    del changed[name]
    with pytest.raises(XLIPError, match=f"m: the field '{name}' is missing"):
        result_of_json(changed, "m")


@pytest.mark.parametrize("value", [None, [], 3, "text"])
def test_what_is_no_object_is_refused(value: Any) -> None:
    with pytest.raises(XLIPError, match="m: expected an object"):
        result_of_json(value, "m")


def test_a_retrieval_without_its_directions_is_refused() -> None:
    identity = {"checkpoint": "a", "split": "s:1:b", "preprocessing": "letterbox/64"}
    with pytest.raises(XLIPError, match="m: the field 'image_to_text' is missing; evaluate again"):
        result_of_json({"evaluator": "retrieval", "images": 3, "distinct_reports": 2, **identity}, "m")


def test_figures_come_from_what_metrics_compute_and_nothing_that_json_lacks_is_kept() -> None:
    measured = KindMetrics(np.float64(0.5), math.nan, 3, 0, (math.nan, math.nan))
    assert KindFigures.model_validate(measured).to_json() == {
        "auroc": 0.5, "auprc": None, "positives": 3, "negatives": 0, "ci95": [None, None]
    }  # fmt: skip


@given(st.floats() | st.integers(-(2**53), 2**53))  # beyond, a float is not the whole number any more
def test_a_share_is_what_lies_in_the_unit_interval(value: float) -> None:
    figures = {"auroc": value, "auprc": None, "positives": 0, "negatives": 0, "ci95": [value, value]}
    if not math.isfinite(value):
        assert checked(KindFigures, figures, "m").auroc is None
    elif 0 <= value <= 1:
        assert checked(KindFigures, figures, "m").ci95 == (value, value)
    else:
        with pytest.raises(XLIPError, match=r"m\.auroc"):
            checked(KindFigures, figures, "m")
        assert checked(Mean, {"mean": value, "ci95": [value, value]}, "m").mean == value


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_committed_schema_is_that_of_the_figures(name: str) -> None:
    """After a change of the figures, `make schema` writes it anew."""
    assert json.loads((RESULTS / name).read_text("utf-8")) == json.loads(json.dumps(SCHEMAS[name]()))


def test_the_schema_knows_every_field_that_is_written() -> None:
    written, whole = metrics(), SCHEMAS["metrics.schema.json"]()
    (form,) = [one for one in whole["oneOf"] if "zeroshot" in one["properties"]["evaluator"]["enum"]]
    assert set(written) <= set(form["properties"])
    assert set(form["required"]) <= set(written)
