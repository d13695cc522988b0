"""What `metrics.json` holds, checked field by field; a page is never made from a file that says something else.

A check takes a value and its place in the file, and raises an error that names the place. Fields that are not listed
are allowed (evaluators add their own), but must be JSON: text, finite numbers, true, false, null, lists, objects.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from xlip.errors import XLIPError

Check = Callable[[Any, str], None]


def text(value: Any, place: str) -> None:
    """A text that is not empty."""
    if not isinstance(value, str) or not value:
        raise _fault(place, "a text", value)


def count(value: Any, place: str) -> None:
    """A whole number from 0."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise _fault(place, "a whole number from 0", value)


def number(low: float = -math.inf, high: float = math.inf, *, null: bool = True) -> Check:
    """A finite number of [low, high]; null for a figure that cannot be computed, where `null` allows it."""
    span = "a number" if math.isinf(low) and math.isinf(high) else f"a number of {low:g} to {high:g}"
    words = f"{span} or null" if null else span

    def check(value: Any, place: str) -> None:
        if value is None and null:
            return
        numeric = isinstance(value, int | float) and not isinstance(value, bool)
        if not numeric or not math.isfinite(value) or not low <= value <= high:
            raise _fault(place, words, value)

    return check


share = number(0, 1)


def interval(value: Any, place: str) -> None:
    """[low, high] of a share, or two nulls."""
    if not isinstance(value, list) or len(value) != 2:
        raise _fault(place, "[low, high]", value)
    for index, bound in enumerate(value):
        share(bound, f"{place}[{index}]")
    if (value[0] is None) != (value[1] is None) or (value[0] is not None and value[0] > value[1]):
        raise _fault(place, "[low, high] with low <= high", value)


def list_of(item: Check) -> Check:
    """A list whose every item passes."""

    def check(value: Any, place: str) -> None:
        if not isinstance(value, list):
            raise _fault(place, "a list", value)
        for index, one in enumerate(value):
            item(one, f"{place}[{index}]")

    return check


def map_of(item: Check) -> Check:
    """An object with any names whose every value passes."""

    def check(value: Any, place: str) -> None:
        if not isinstance(value, dict):
            raise _fault(place, "an object", value)
        for name, one in value.items():
            item(one, f"{place}.{name}")

    return check


def record(required: Mapping[str, Check], optional: Mapping[str, Check] | None = None) -> Check:
    """An object with named fields; others are allowed if they are JSON."""
    known = {**required, **(optional or {})}

    def check(value: Any, place: str) -> None:
        if not isinstance(value, dict):
            raise _fault(place, "an object", value)
        for name in required:
            if name not in value:
                raise XLIPError(f"{place}: the field {name!r} is missing; evaluate again with this version of xlip")
        for name, one in value.items():
            known.get(name, anything)(one, f"{place}.{name}")

    return check


def anything(value: Any, place: str) -> None:
    """Any JSON value without NaN and infinity."""
    if isinstance(value, dict):
        map_of(anything)(value, place)
    elif isinstance(value, list | tuple):
        list_of(anything)(list(value), place)
    elif isinstance(value, float) and not math.isfinite(value):
        raise _fault(place, "a finite number or null", value)
    elif not isinstance(value, str | int | float | bool | None):
        raise _fault(place, "text, number, true, false, null, list or object", value)


IDENTITY: dict[str, Check] = {"split": text, "preprocessing": text, "checkpoint": text}
"""Without these a number does not count (PROTOCOLS)."""
PER_KIND = record(
    {"auroc": share, "auprc": share, "positives": count, "negatives": count, "ci95": interval}, {"ece": share}
)
SENSITIVITY = record({"sets": map_of(record({"macro_auroc": share, "per_kind": map_of(share)}))})
"""AUROC under each prompt set."""
EXAMPLE = record({"query": text, "found": list_of(record({"what": text}, {"hit": anything, "score": number()}))})
CLASSIFICATION = record(
    {
        **IDENTITY,
        "macro_auroc": share,
        "macro_ci95": interval,
        "per_kind": map_of(PER_KIND),
        "left_out": list_of(text),
        "images": count,
        "dropped": count,
    },
    {"evaluator": text, "prompts": text, "macro_auprc": share, "sensitivity": SENSITIVITY},
)
OTHER = record({**IDENTITY, "evaluator": text}, {"images": count, "dropped": count, "examples": list_of(EXAMPLE)})


def check_metrics(metrics: Any, where: str) -> None:
    """Check the content of a `metrics.json`.

    Args:
        metrics: what was read.
        where: name of the file, for the message.

    Raises:
        XLIPError: a field is missing, of another type or out of range; the message names it.
    """
    classifies = not isinstance(metrics, dict) or "per_kind" in metrics or "evaluator" not in metrics
    (CLASSIFICATION if classifies else OTHER)(metrics, where)
    if not classifies:
        return
    unknown = sorted(set(metrics["left_out"]) - set(metrics["per_kind"]))
    if unknown:
        raise XLIPError(f"{where}.left_out: {unknown[0]!r} is not in per_kind; expected kinds of this evaluation")


def _fault(place: str, expected: str, value: Any) -> XLIPError:
    shown = repr(value)
    return XLIPError(f"{place}: expected {expected}, got {shown if len(shown) < 60 else shown[:57] + '...'}")
