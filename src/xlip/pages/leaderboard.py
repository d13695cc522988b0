"""The page of a leaderboard: a sortable table and a plot of paired intervals for each board, and what stands apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from xlip.pages.flat_figures import number, span
from xlip.pages.page import Page
from xlip.pages.plots import COLORS, GRAY, canvas, readable, to_png
from xlip.results.leaderboard import Board, Leaderboard, write_leaderboard

PAGE = "leaderboard.html"
HEADER = ("evaluation", "macro AUROC", "95 % interval", "less the first", "95 % interval ", "p, Holm", "protocol",
          "prompts")  # fmt: skip
MADE_HEADER = ("evaluation", "checkpoint", "preprocessing", "xlip")


def write_leaderboard_page(found: Leaderboard, folder: Path) -> Path:
    """`leaderboard.json` and `leaderboard.html` into a folder; returns the page."""
    write_leaderboard(found, folder)
    leaderboard_page(found).write(folder / PAGE)
    return folder / PAGE


def leaderboard_page(found: Leaderboard) -> Page:
    """Every board, then the evaluations that may not be compared."""
    page = Page("Leaderboard")
    page.text("Research use only; not a medical device. Nothing here may guide the care of a patient.", note=True)
    page.contents()
    page.text(
        "Only evaluations of the same cases, kinds and truth stand in one table. Differences are to the first of the "
        f"table, on the same {found.replicates:,} draws of patients; p-values are adjusted for their number after Holm."
    )
    for board in found.boards:
        page.heading(f"{board.split.rsplit(':', 2)[0]}: {len(board.entries)} evaluations")
        kinds = ", ".join(map(readable, board.kinds))
        page.text(f"Split {board.split}: {board.cases:,} cases of {board.patients:,} patients. Mean over {kinds}.")
        page.text(_verdict(board))
        page.figure(
            intervals(board),
            "Left: macro AUROC with its 95 % interval. Right: the difference to the first, with the 95 % interval of "
            "the difference; a line that touches 0 is no difference that these cases can show.",
        )
        rows = [_row(board, place) for place in range(len(board.entries))]
        page.table(HEADER, rows, words=(6, 7), sortable=True)
        made = [
            (one.folder, one.identity["checkpoint"], one.identity["preprocessing"], one.version or "-")
            for one in board.entries
        ]
        page.table(MADE_HEADER, made, words=(1, 2, 3), folded="made with")
    if not found.boards:
        page.text("No two evaluations may be compared; the reasons stand below.")
    if found.apart:
        page.heading("Not compared")
        rows = [(one.folder, one.evaluator, one.figure, one.split, one.reason) for one in found.apart]
        page.table(("evaluation", "protocol", "figure", "split", "why not"), rows, words=(1, 2, 3, 4), sortable=True)
    return page


def intervals(board: Board) -> bytes:
    """One line per evaluation: its macro AUROC, and its difference to the first."""
    entries = board.entries
    with canvas(2, 2, 4.3, 0.9 + 0.3 * len(entries)) as (figure, (left, right)):
        for place, one in enumerate(entries):
            color = COLORS[0] if not one.worse else COLORS[1]
            _point(left, place, one.macro_auroc, one.macro_ci95, color)
            gap = one.against_best
            _point(right, place, gap.difference if gap else 0.0, gap.ci95 if gap else (None, None), color)
        left.set_yticks(range(len(entries)), [_short(one.folder) for one in entries])
        right.set_yticks([])
        right.axvline(0, color=GRAY, linewidth=0.8, linestyle=":")
        for axis, label in ((left, "macro AUROC"), (right, "less the first")):
            axis.set(ylim=(len(entries) - 0.5, -0.5), xlabel=label)
        return to_png(figure)


def _point(axis: Any, place: int, value: float | None, bounds: tuple[float | None, float | None], color: str) -> None:
    low, high = bounds
    if low is not None:
        axis.hlines(place, low, high, color=color, linewidth=1.8, alpha=0.6)
    if value is not None:
        axis.scatter(value, place, s=26, color=color, zorder=3)


def _short(name: str) -> str:
    return name if len(name) <= 40 else f"...{name[-37:]}"


def _verdict(board: Board) -> str:
    first, *others = board.entries
    behind = sum(one.worse for one in others)
    return (
        f"{first.folder} has the largest macro AUROC, {number(first.macro_auroc)}. {behind} of the {len(others)} "
        "others are worse beyond chance (interval below 0 and adjusted p < 0.05); the rest cannot be told from it here."
    )


def _row(board: Board, place: int) -> tuple[str, ...]:
    one = board.entries[place]
    gap = one.against_best
    difference = "first" if gap is None or gap.difference is None else f"{gap.difference:+.3f}"
    prompts = " ".join(one.identity[name] for name in ("prompts", "scoring") if name in one.identity) or "-"
    return (
        one.folder, number(one.macro_auroc), span(*one.macro_ci95), difference, span(*gap.ci95) if gap else "-",
        number(one.p_holm), one.evaluator, prompts,
    )  # fmt: skip
