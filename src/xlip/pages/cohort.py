"""The evaluation card on a page: who was tested, against whom, and lines for a paper."""

from __future__ import annotations

from xlip.pages.flat_figures import number, span
from xlip.pages.page import Page
from xlip.pages.plots import COLORS, GRAY, canvas, readable, to_png
from xlip.results.cohort import Cohort, KindCohort
from xlip.results.lines import paper_lines
from xlip.results.result import Result

HEADER = ("finding", "prevalence", "with it", "healthy", "otherwise sick", "not known", "AUROC, healthy",
          "95 % interval", "AUROC, sick", "95 % interval", "difference")  # fmt: skip
SOURCE_HEADER = ("finding", "AUROC", "on these sources alone", "95 % interval", "sources with both classes")


def cohort(page: Page, result: Result) -> None:
    """Prevalence, negatives and sources of every finding; nothing for folders of older versions."""
    figures = result.kinds
    if figures is None or figures.cohort is None:
        return
    card = figures.cohort
    page.heading("Who was tested?")
    page.text(f"{card.cases:,} cases of {card.patients:,} patients. {inflation_words(card)}")
    if any(one.healthy and one.sick and one.positives for one in card.per_kind.values()):
        page.figure(
            both_sides(card),
            "AUROC of each finding against healthy negatives (blue) and against negatives with another finding "
            "(orange), with 95 % intervals; dotted: guessing.",
        )
    page.table(HEADER, [_row(kind, one) for kind, one in card.per_kind.items()])
    page.text(
        "'Healthy', 'otherwise sick' and 'not known' count the images without the finding: by all labels of the set, "
        "not by those of this table alone. A set with many healthy negatives is easier than a ward.",
        note=True,
    )
    rows = [
        (readable(kind), number(figures.per_kind[kind].auroc), number(one.same_source.auroc),
         span(*one.same_source.ci95), ", ".join(one.sources) or "none")
        for kind, one in card.per_kind.items()
        if one.same_source is not None
    ]  # fmt: skip
    if rows:
        page.text(
            "Where a finding comes from one source and its absence from another, the look of the source is enough:"
        )
        page.table(SOURCE_HEADER, rows, words=(4,))


def lines(page: Page, result: Result) -> None:
    """Every figure as a line with all that it depends on."""
    page.heading("Lines for a paper")
    page.table(("one figure each",), [(line,) for line in paper_lines(result)], words=(0,), folded="show them")


def inflation_words(card: Cohort) -> str:
    """What healthy negatives add to the macro mean, in one sentence."""
    high, low = card.macro_against_healthy.auroc, card.macro_against_sick.auroc
    if high is None or low is None:
        return "No finding has 10 healthy and 10 otherwise sick negatives, so what healthy ones add cannot be told."
    return (
        f"Macro AUROC {number(high)} against healthy negatives and {number(low)} against otherwise sick ones "
        f"({high - low:+.3f}, over {len(card.compared)} findings)."
    )


def both_sides(card: Cohort) -> bytes:
    """AUROC against healthy and against otherwise sick negatives, a line from one to the other."""
    shown = {kind: one for kind, one in card.per_kind.items() if one.positives and (one.healthy or one.sick)}
    with canvas(1, 1, 8.6, 0.9 + 0.3 * len(shown)) as (figure, (axis,)):
        for place, one in enumerate(shown.values()):
            areas = (one.against_healthy, one.against_sick)
            known = [area.auroc for area in areas if area.auroc is not None]
            if len(known) == 2:
                axis.hlines(place, min(known), max(known), color=GRAY, linewidth=1)
            for shift, color, area in zip((-0.13, 0.13), COLORS, areas, strict=False):
                if area.auroc is None:
                    continue
                low, high = area.ci95
                if low is not None:
                    axis.hlines(place + shift, low, high, color=color, linewidth=1.6, alpha=0.6)
                axis.scatter(area.auroc, place + shift, s=24, color=color, zorder=3)
        axis.axvline(0.5, color=GRAY, linewidth=0.8, linestyle=":")
        axis.set_yticks(range(len(shown)), [readable(kind) for kind in shown])
        axis.set(ylim=(len(shown) - 0.5, -0.5), xlabel="AUROC")
        return to_png(figure)


def _row(kind: str, one: KindCohort) -> tuple[str, ...]:
    share = "-" if one.prevalence is None else f"{100 * one.prevalence:.1f} %"
    counts = (one.positives, one.healthy, one.sick, one.unclear)
    sides = (
        cell for area in (one.against_healthy, one.against_sick) for cell in (number(area.auroc), span(*area.ci95))
    )
    gap = "-" if one.inflation is None else f"{one.inflation:+.3f}"
    return (readable(kind), share, *(f"{count:,}" for count in counts), *sides, gap)
