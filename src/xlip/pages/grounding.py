"""Grounding on a page: regions by size and by finding, and what is coloured where a finding is absent."""

from __future__ import annotations

from collections.abc import Iterator

from xlip.metrics.grounding import SIZES
from xlip.pages.flat_figures import number, span
from xlip.pages.page import Page
from xlip.pages.plots import readable
from xlip.results.figures import GroundingFigures
from xlip.results.regions import RegionFigures
from xlip.results.result import Result
from xlip.results.typed import Mean

HEADER = ("regions", "number", "pointing", "at random", "IoU", "IoU, validation", "CNR")
ABSENT_HEADER = ("finding", "images without it", "coloured area", "95 % interval", "images with any colour")


def grounding(page: Page, result: Result) -> None:
    """Nothing for other evaluators."""
    figures = result.figures
    if not isinstance(figures, GroundingFigures):
        return
    page.heading("Does it point to the finding?")
    page.table(HEADER, list(_rows(figures)))
    bounds = {name: f"{100 * bound:g} %" for name, bound in SIZES.items()}
    said = (
        f"IoU, validation: at the heat {number(figures.threshold)}, which {figures.threshold_chosen_on} chose."
        if figures.threshold is not None
        else "No validation split with regions: no threshold of the heat was chosen, and none is chosen on the test."
    )
    page.text(
        f"{said} IoU: mean over fixed thresholds of each map scaled to 0 to 1. Small regions cover less than "
        f"{bounds['small']} of the image, medium ones less than {bounds['medium']}. In brackets: 95 % intervals.",
        note=True,
    )
    if figures.absent:
        page.heading("What is coloured where a finding is absent?")
        page.table(
            ABSENT_HEADER,
            [
                (readable(kind), f"{one.images:,}", number(one.area.mean), span(*one.area.ci95), number(one.coloured))
                for kind, one in figures.absent.items()
            ],
        )
        page.text("Share of the image that is at least as hot as the threshold of validation: 0 is right.", note=True)


def _rows(figures: GroundingFigures) -> Iterator[tuple[str, ...]]:
    yield _row("all", figures)
    for name, one in figures.sizes.items():
        yield _row(name, one)
    for kind, one in figures.regions_of_kind.items():
        yield _row(readable(kind), one)


def _row(name: str, one: RegionFigures) -> tuple[str, ...]:
    share = number(one.region_share)
    return (name, f"{one.regions:,}", _mean(one.pointing), share, *map(_mean, (one.iou, one.iou_chosen, one.cnr)))


def _mean(one: Mean | None) -> str:
    if one is None or one.mean is None:
        return "-"
    return number(one.mean) + ("" if one.ci95[0] is None else f" ({span(*one.ci95)})")
