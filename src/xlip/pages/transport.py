"""The page of transport: a matrix of sets, and the tables behind it."""

from __future__ import annotations

from pathlib import Path

from xlip.metrics.transport import THRESHOLD_GOALS
from xlip.pages.flat_figures import number, span
from xlip.pages.page import Page
from xlip.pages.plots import COLORS, canvas, readable, to_png
from xlip.results.transport import PairTransport, Transport, write_transport

PAGE = "transport.html"
HEADER = ("chosen on", "used on", "finding", "threshold", "sensitivity", "95 % interval", "specificity",
          "95 % interval", "keeps its goal")  # fmt: skip
CALIBRATION_HEADER = ("calibrated on", "used on", "finding", "images", "slope", "intercept", "ECE", "s.d.")


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
        "Slope 1, intercept 0 and an error (ECE) of 0 are calibrated. The line 'before' is of the scores as slope and "
        "intercept of another set leave them ('none': the model's own scores); then both are refitted on so many "
        "labelled images of the set that they are used on. Every figure is of the other half of that set's patients, "
        "a mean over draws of the labelled ones."
    )
    if any(one.calibration for pair in found.pairs for one in pair.kinds.values()):
        page.figure(
            curves(found),
            "Calibration error on each set (mean over the findings) over the number of its images that were labelled "
            "for a refit; 0 = none. One line for each set that the scores were calibrated on before.",
        )
    page.table(CALIBRATION_HEADER, calibration_rows(found), folded="every finding")
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


def curves(found: Transport) -> bytes:
    """Calibration error over labelled images, one panel per set that is used on."""
    names = list(found.splits)
    with canvas(len(names), 3, 3.0, 2.6) as (figure, axes):
        for axis, used in zip(axes, names, strict=False):
            pairs = [pair for pair in found.pairs if pair.used_on == used]
            for number, pair in enumerate(pairs):
                points = _mean_curve(pair)
                if points:
                    own = pair.chosen_on == pair.used_on
                    label = "the model's own scores" if own else f"calibrated on {pair.chosen_on}"
                    style = "--" if own else "-"
                    axis.plot(range(len(points)), [value for _, value in points], style, marker="o", markersize=3,
                              color=COLORS[number % len(COLORS)], label=label)  # fmt: skip
                    axis.set_xticks(range(len(points)), [str(count) for count, _ in points])
            axis.set(title=f"used on {used}", xlabel="labelled images", ylabel="ECE")
            axis.set_ylim(bottom=0)
            if axis.lines:
                axis.legend(fontsize=7)
        return to_png(figure)


def _mean_curve(pair: PairTransport) -> list[tuple[int, float]]:
    """(labelled images, mean error over the findings), 0 images first."""
    fits = [one.calibration for one in pair.kinds.values() if one.calibration]
    if not fits:
        return []
    columns: dict[int, list[float | None]] = {0: [fit.ece_before for fit in fits]}
    for fit in fits:
        for one in fit.after:
            columns.setdefault(one.wanted, []).append(one.ece)
    known = {count: [value for value in values if value is not None] for count, values in columns.items()}
    return [(count, sum(values) / len(values)) for count, values in known.items() if values]


def calibration_rows(found: Transport) -> list[tuple[str, ...]]:
    """One row per pair of sets, finding and number of labelled images, 0 first."""
    rows: list[tuple[str, ...]] = []
    for pair in found.pairs:
        for kind, one in pair.kinds.items():
            if (fit := one.calibration) is None:
                continue
            named = (fit.calibrated_on or "none", pair.used_on, readable(kind))
            rows.append((*named, "0 (before)", number(fit.slope), number(fit.intercept), number(fit.ece_before), "-"))
            rows += [
                (*named, f"{row.fitted_on:.0f}", number(row.slope), number(row.intercept), number(row.ece),
                 number(row.ece_sd))
                for row in fit.after
            ]  # fmt: skip
    return rows
