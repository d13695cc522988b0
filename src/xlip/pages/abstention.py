"""Abstention on a page: risk over coverage of every finding."""

from __future__ import annotations

from xlip.pages.flat_figures import number, span
from xlip.pages.page import Page
from xlip.pages.plots import COLORS, GRAY, readable, squares, to_png
from xlip.results.abstention import Abstention, KindAbstention, SelectiveFigures
from xlip.results.cohort import Decision
from xlip.results.result import Result

HEADER = ("finding", "rule", "wrong, all decided", "wrong at 90 %", "95 % interval", "AURC", "95 % interval",
          "best possible")  # fmt: skip
FAR_HEADER = ("finding", "wrong at 90 %", "95 % interval", "AURC", "95 % interval", "wrong, near images")


def abstention(page: Page, result: Result) -> None:
    """One small plot per finding, and the figures; nothing for folders of older versions."""
    figures = result.kinds
    if figures is None or figures.abstention is None or not figures.abstention.per_kind:
        return
    found, decided = figures.abstention, figures.decisions or {}
    page.heading("What does abstaining bring?")
    page.text(
        "A model need not decide every case. By score: the share of wrong decisions (risk) when the least certain "
        f"scores stay undecided: {_words(found, 'by_score')}."
    )
    if found.distance is not None:
        far = found.distance.far or 0.0
        page.text(
            f"By distance: images far from the training images stay undecided: {_words(found, 'by_distance')}. "
            f"{100 * far:.1f} % of the cases lie beyond the distance from which `xlip triage` does not judge "
            f"({found.distance.chosen_on})."
        )
    page.figure(
        risk_curves(found),
        "Share of wrong decisions (up) over the share of cases decided (right). Blue: the scores nearest to the "
        "threshold are left out first. Orange: the images farthest from training are left out first. Dotted: in no "
        "order. Above each: wrong with all decided, and with 90 % decided by score.",
    )
    page.table(HEADER, [_row(kind, one, decided.get(kind)) for kind, one in found.per_kind.items()])
    if found.distance is not None:
        rows = [(readable(kind), *_cells(one.by_distance), number(one.near_risk))
                for kind, one in found.per_kind.items() if one.by_distance is not None]  # fmt: skip
        page.table(FAR_HEADER, rows, folded="by distance")
    page.text(
        "AURC is the mean risk over all coverages: smaller is better. A rule 'oracle' is chosen on the test itself. At "
        "a low prevalence few decisions are wrong whatever a model knows, so compare within a finding only.",
        note=True,
    )


def risk_curves(found: Abstention) -> bytes:
    """One square per finding; its upper side is the largest risk of its curves."""
    with squares(len(found.per_kind)) as (figure, cells):
        for cell, (kind, one) in zip(cells, found.per_kind.items(), strict=True):
            curves = [(one.by_score, COLORS[0])]
            curves += [(one.by_distance, COLORS[1])] if one.by_distance else []
            top = max([value for curve, _ in curves for value in curve.curve if value is not None] + [1e-9])
            cell.frame(f"{readable(kind)}\n{number(one.risk)} to {number(one.by_score.risk_at_90)}", ends=False)
            if one.risk is not None:
                cell.axis.plot(*cell.at([0, 1], [one.risk / top] * 2), color=GRAY, linewidth=0.7, linestyle=":")
            for curve, color in reversed(curves):
                known = [(at, value / top) for at, value in zip(found.coverages, curve.curve, strict=True)
                         if value is not None]  # fmt: skip
                cell.axis.plot(*cell.at(*zip(*known, strict=True)), color=color, linewidth=1.4)
            cell.text(-0.03, 1, f"{top:.2f}", ha="right", va="center", fontsize=8)
            cell.text(-0.03, 0, "0", ha="right", va="center", fontsize=8)
            cell.text(1, -0.03, "1", ha="center", va="top", fontsize=8)
        return to_png(figure)


def _words(found: Abstention, way: str) -> str:
    risks = [one.risk for one in found.per_kind.values() if one.risk is not None]
    mean = sum(risks) / len(risks) if risks else None
    return (
        f"{number(mean)} with all decided, {number(found.mean(way, 'risk_at_90'))} with 90 % decided, AURC "
        f"{number(found.mean(way, 'aurc'))} (means over {len(found.per_kind)} findings)"
    )


def _row(kind: str, one: KindAbstention, decision: Decision | None) -> tuple[str, ...]:
    rule = decision.rule if decision else "-"
    return readable(kind), rule, number(one.risk), *_cells(one.by_score), number(one.best_aurc)


def _cells(one: SelectiveFigures | None) -> tuple[str, ...]:
    if one is None:
        return ("-",) * 4
    return number(one.risk_at_90), span(*one.risk_at_90_ci95), number(one.aurc), span(*one.aurc_ci95)
