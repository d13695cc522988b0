"""The page of transport: a matrix of sets, and the tables behind it."""

from __future__ import annotations

from pathlib import Path

from xlip.metrics.transport import THRESHOLD_GOALS
from xlip.pages.flat_figures import number, span
from xlip.pages.page import Page
from xlip.pages.plots import canvas, readable, to_png
from xlip.results.transport import Transport, write_transport

PAGE = "transport.html"
HEADER = ("chosen on", "used on", "finding", "threshold", "sensitivity", "95 % interval", "specificity",
          "95 % interval", "keeps its goal")  # fmt: skip
CALIBRATION_HEADER = ("used on", "finding", "slope", "intercept", "ECE before", "ECE after", "refitted on")


def write_transport_page(found: Transport, folder: Path) -> Path:
    """`transport.json` and `transport.html` into a folder; returns the page."""
    write_transport(found, folder)
    transport_page(found).write(folder / PAGE)
    return folder / PAGE


def transport_page(found: Transport) -> Page:
    """Matrices of mean sensitivity and specificity for every goal, and all figures."""
    page = Page("From set to set: do thresholds and calibration carry over?").contents()
    page.table(("made with", ""), [*found.identity.items(), *found.splits.items()], words=(1,))
    for goal in THRESHOLD_GOALS:
        page.heading(f"Threshold: {goal}")
        if goal != "youden":
            kept, count = found.carries(goal)
            page.text(f"{kept} of {count} thresholds keep their goal on another set: its 95 % interval reaches 95 %.")
        page.figure(
            matrices(found, goal),
            "Mean over the findings. Rows: the set that thresholds were chosen on; columns: the set they are used on.",
        )
        page.table(HEADER, threshold_rows(found, goal), folded="every finding")
    page.heading("Calibration")
    page.text(
        "Slope 1, intercept 0 and an error of 0 are calibrated; both lines are refitted on images of the set used."
    )
    page.table(CALIBRATION_HEADER, calibration_rows(found))
    return page


def matrices(found: Transport, goal: str) -> bytes:
    """Sensitivity and specificity as two matrices of sets."""
    names = list(found.splits)
    with canvas(2, 2, 1.4 + 0.8 * len(names), 1.2 + 0.6 * len(names)) as (figure, axes):
        for axis, name in zip(axes, ("sensitivity", "specificity"), strict=True):
            values = {(pair.chosen_on, pair.used_on): pair.mean(goal, name) for pair in found.pairs}
            table = [[values.get((row, column)) for column in names] for row in names]
            shown = [[float("nan") if value is None else value for value in row] for row in table]
            axis.imshow(shown, cmap="Blues", vmin=0, vmax=1.3)
            for down, row in enumerate(table):
                for across, value in enumerate(row):
                    axis.text(across, down, number(value), ha="center", va="center", fontsize=8, color="#222222")
            axis.set_xticks(range(len(names)), names, rotation=30, ha="right")
            axis.set_yticks(range(len(names)), names)
            axis.set_title(name)
        return to_png(figure)


def threshold_rows(found: Transport, goal: str) -> list[tuple[str, ...]]:
    """One row per pair of sets and finding."""
    rows: list[tuple[str, ...]] = []
    for pair in found.pairs:
        for kind, one in pair.kinds.items():
            figures = one.thresholds[goal]
            kept = "-" if figures.carries is None else "yes" if figures.carries else "no"
            rows.append((pair.chosen_on, pair.used_on, readable(kind), number(figures.threshold),
                         number(figures.sensitivity), span(*figures.sensitivity_ci95), number(figures.specificity),
                         span(*figures.specificity_ci95), kept))  # fmt: skip
    return rows


def calibration_rows(found: Transport) -> list[tuple[str, ...]]:
    """One row per set and finding; the model's own scores need no other set to be judged."""
    return [
        (pair.used_on, readable(kind), number(fit.slope), number(fit.intercept), number(fit.ece_before),
         number(fit.ece_after), str(fit.fitted_on))
        for pair in found.pairs
        if pair.chosen_on == pair.used_on
        for kind, one in pair.kinds.items()
        if (fit := one.calibration) is not None
    ]  # fmt: skip
