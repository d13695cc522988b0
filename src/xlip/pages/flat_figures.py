"""Nested figures of an evaluator as the rows of one table, and the table of label shares and seeds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from xlip.pages.page import figure_text
from xlip.pages.plots import readable

LEFT_OUT = ("seconds", "dropped", "examples", "per_kind", "sensitivity")
"""What a page shows elsewhere or not at all."""


@dataclass(frozen=True)
class Figure:
    """One number."""

    name: str
    """Its place among the metrics, as words."""
    value: str
    interval: str = ""
    """95 %, where it was measured."""


def flat_figures(metrics: Mapping[str, Any], prefix: Sequence[str] = ()) -> Iterator[Figure]:
    """Every number of nested metrics in their order; `{mean, ci95}` is one number with its interval."""
    for name, value in metrics.items():
        place = (*prefix, readable(name))
        if name in LEFT_OUT:
            continue
        if isinstance(value, dict) and "mean" in value and "ci95" in value:
            low, high = value["ci95"]
            interval = "" if low is None else f"{number(low)} to {number(high)}"
            yield Figure(", ".join(place), number(value["mean"]), interval)
        elif isinstance(value, dict):
            yield from flat_figures(value, place)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield Figure(", ".join(place), f"{value:,}" if isinstance(value, int) else figure_text(value))


SHARE_HEADER = ("labels", "training images", "macro AUROC", "s.d. over seeds", "95 % interval", "above zero-shot", "p")


def share_rows(metrics: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """One row per label share of `metrics["table"]`; none where an evaluator made no such table."""
    rows: list[tuple[str, ...]] = []
    for row in metrics.get("table", ()):
        low, high = row["ci95"]
        gain = row.get("over_zero_shot") or {}
        bounds = gain.get("ci95") or (None, None)
        over = "" if gain.get("difference") is None else f"{gain['difference']:+.3f} ({span(*bounds)})"
        images = f"{row['training_images']:,}" if row.get("training_images") else "-"
        share = percent(row["share"])
        rows.append(
            (share, images, number(row["auroc"]), number(row["sd"]), span(low, high), over, number(gain.get("p")))
        )
    return rows


SEED_HEADER = ("seed", "training images", "macro AUROC")


def seed_rows(metrics: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """One row per training seed of `metrics["per_seed"]`."""
    return [
        (str(row["seed"]), f"{row.get('train_images', 0):,}", number(row["macro_auroc"]))
        for row in metrics.get("per_seed", ())
    ]


def share_auroc(metrics: Mapping[str, Any], share: str) -> float | None:
    """Macro AUROC at a label share such as '1 %', None where it was not measured."""
    found: list[float | None] = [row["auroc"] for row in metrics.get("table", ()) if percent(row["share"]) == share]
    return found[0] if found else None


def percent(share: str) -> str:
    """'0.01' as '1 %'; words such as 'zero-shot' stay."""
    try:
        return f"{100 * float(share):.4g} %"
    except ValueError:
        return share


def span(low: float | None, high: float | None) -> str:
    """An interval as words."""
    return f"{number(low)} to {number(high)}"


def number(value: float | None) -> str:
    """Three decimals; a dash for what could not be computed."""
    return "-" if value is None else figure_text(float(value))
