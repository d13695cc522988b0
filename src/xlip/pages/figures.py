"""The figures of an evaluation's page beyond the ROC curves: PR, reliability, confusion, prompt spread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from xlip.metrics.labelled_scores import both_classes
from xlip.pages.plots import COLORS, GRAY, canvas, readable, squares, to_png

if TYPE_CHECKING:
    from xlip.metrics.thresholds import ThresholdMetrics
    from xlip.results.figures import PromptSetFigures
    from xlip.results.result import Predictions


def pr_curves(test: Predictions) -> bytes:
    """Precision over recall of each kind with both classes, above the line of its prevalence."""
    from xlip.metrics.auroc import auprc
    from xlip.metrics.curves import precision_recall_curve

    shown = list(both_classes(test))
    with squares(len(shown)) as (figure, cells):
        for cell, (kind, truth, score) in zip(cells, shown, strict=True):
            precision, recall = precision_recall_curve(truth, score)
            cell.frame(f"{readable(kind)}\n{auprc(truth, score):.3f} (prevalence {truth.mean():.3f})")
            cell.axis.plot(*cell.at([0, 1], [truth.mean()] * 2), color=GRAY, linewidth=0.7, linestyle=":")
            cell.axis.step(*cell.at(recall, precision), where="pre", color=COLORS[1], linewidth=1.4)
        return to_png(figure)


def reliability_diagrams(test: Predictions) -> bytes:
    """Share of positives over the mean score of each bin (area of a point: cases in it), with the ECE."""
    from xlip.metrics.calibration import expected_calibration_error, reliability

    shown = list(both_classes(test))
    with squares(len(shown)) as (figure, cells):
        for cell, (kind, truth, score) in zip(cells, shown, strict=True):
            mean, share, count = reliability(truth, score)
            filled = count > 0
            cell.frame(f"{readable(kind)}\nECE {expected_calibration_error(truth, score):.3f}")
            cell.axis.plot(*cell.at([0, 1], [0, 1]), color=GRAY, linewidth=0.7, linestyle=":")
            points = cell.at(mean[filled], share[filled])
            cell.axis.plot(*points, color=COLORS[2], linewidth=1)
            area = 6 + 60 * count[filled] / count.sum()
            cell.axis.scatter(*points, s=area, color=COLORS[2], alpha=0.8, linewidths=0)
        return to_png(figure)


def confusion_matrices(chosen: Mapping[str, ThresholdMetrics]) -> bytes:
    """One 2 x 2 table per kind: truth in rows, decision in columns, shaded by the share of its row."""
    with squares(len(chosen), left=0.45) as (figure, cells):
        for cell, (kind, m) in zip(cells, chosen.items(), strict=True):
            counts = np.array([[m.tp, m.fn], [m.fp, m.tn]])
            share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
            (left, right), (bottom, top) = cell.at([0, 1], [0, 1])
            cell.axis.imshow(share, cmap="Blues", vmin=0, vmax=1.4, extent=(left, right, bottom, top), aspect="auto")
            for row, column in np.ndindex(2, 2):
                color = "white" if share[row, column] > 0.75 else "#222222"
                words = f"{counts[row, column]:,}\n{share[row, column]:.0%}"
                cell.text(0.25 + column / 2, 0.75 - row / 2, words, ha="center", va="center", color=color, fontsize=8)
            cell.frame(readable(kind), ends=False)
            for place, (truth, said) in enumerate((("is", "said yes"), ("is not", "said no"))):
                cell.text(-0.03, 0.75 - place / 2, truth, ha="right", va="center", fontsize=8)
                cell.text(0.25 + place / 2, -0.03, said, ha="center", va="top", fontsize=8)
        # The extent of a picture on the axes would have become that of the axes.
        width, height = figure.get_size_inches()
        cells[0].axis.set(xlim=(0, width), ylim=(0, height))
        return to_png(figure)


def prompt_spread(kinds: Sequence[str], sets: Mapping[str, PromptSetFigures]) -> bytes:
    """AUROC of each kind under each prompt set: a line from the least to the greatest, a point for every set."""
    with canvas(1, 1, 8.6, 0.9 + 0.26 * (len(kinds) + 1)) as (figure, (axis,)):
        names = ["macro", *kinds]
        for number, (name, figures) in enumerate(sets.items()):
            values = [figures.macro_auroc, *(figures.per_kind.get(kind) for kind in kinds)]
            known = [(value, place) for place, value in enumerate(values) if value is not None]
            color, marker = COLORS[number % len(COLORS)], "os^Dv"[number // len(COLORS) % 5]
            axis.scatter(*zip(*known, strict=True), s=22, color=color, marker=marker, label=name, zorder=2)
        for place, kind in enumerate(names):
            values = [f.macro_auroc if place == 0 else f.per_kind.get(kind) for f in sets.values()]
            known_values = [value for value in values if value is not None]
            if known_values:
                axis.hlines(place, min(known_values), max(known_values), color=GRAY, linewidth=1.2, zorder=1)
        axis.set_yticks(range(len(names)), [readable(name) for name in names])
        axis.axvline(0.5, color=GRAY, linewidth=0.8, linestyle=":")
        axis.set(ylim=(len(names) - 0.5, -0.5), xlabel="AUROC")
        axis.legend(fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=6)
        return to_png(figure)
