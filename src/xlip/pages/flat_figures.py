"""Nested figures of an evaluator as the rows of one table, and the table of label shares and seeds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from xlip.pages.page import figure_text
from xlip.pages.plots import readable
from xlip.results.figures import FineTuningFigures, ProbeFigures
from xlip.results.result import Result

LEFT_OUT = ("dropped", "examples")
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


def share_rows(figures: FineTuningFigures) -> list[tuple[str, ...]]:
    """One row per label share."""
    rows: list[tuple[str, ...]] = []
    for row in figures.table:
        gain, over = row.over_zero_shot, ""
        if gain and gain.difference is not None:
            over = f"{gain.difference:+.3f} ({span(*gain.ci95)})"
        images = f"{row.training_images:,}" if row.training_images else "-"
        p = number(gain.p if gain else None)
        rows.append((percent(row.share), images, number(row.auroc), number(row.sd), span(*row.ci95), over, p))
    return rows


SEED_HEADER = ("seed", "training images", "macro AUROC")


def seed_rows(figures: ProbeFigures) -> list[tuple[str, ...]]:
    """One row per training seed."""
    return [(str(row.seed), f"{row.train_images:,}", number(row.macro_auroc)) for row in figures.per_seed]


def share_auroc(result: Result, share: str) -> float | None:
    """Macro AUROC at a label share such as '1 %', None where it was not measured."""
    table = result.figures.table if isinstance(result.figures, FineTuningFigures) else ()
    return next((row.auroc for row in table if percent(row.share) == share), None)


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
