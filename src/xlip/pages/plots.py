"""Figures as bytes of a picture file, drawn by matplotlib without a screen, legible on a light and on a dark page."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from xlip.metrics.labelled_scores import LabelledScores, both_classes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = np.ndarray[Any, Any]
GRAY = "#7d7d7d"
"""Lines and letters: about 4:1 against white and against black."""
COLORS = ("#3b86c8", "#d9822b", "#3d9c6d", "#b45fb4", "#cc4f4a", "#8a8a2a")
"""Of series, in their order."""
DENSITY = 2
"""Pixels of the file for one of the page."""
_DPI = 100 * DENSITY
_STYLE = {
    "text.color": GRAY,
    "axes.edgecolor": GRAY,
    "axes.labelcolor": GRAY,
    "xtick.color": GRAY,
    "ytick.color": GRAY,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "legend.frameon": False,
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8.5,
}


@dataclass(frozen=True)
class Panel:
    """One image of a figure: grayscale pixels, and over them a heat-map and an outline."""

    image: Array
    title: str = ""
    heat: Array | None = None
    """(h, w) any scale; enlarged to the image."""
    outline: Array | None = None
    """(H, W) bool."""


@contextmanager
def canvas(count: int, columns: int, width: float, height: float) -> Iterator[tuple[Figure, list[Any]]]:
    """A figure with `count` axes of width x height inches in rows of `columns`, under the common style."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = max(1, min(columns, count))
    rows = max(1, -(-count // columns))
    with rc_context(_STYLE):
        figure = Figure(figsize=(width * columns, height * rows), layout="tight")
        FigureCanvasAgg(figure)
        axes = [figure.add_subplot(rows, columns, number + 1) for number in range(rows * columns)]
        for axis in axes[count:]:
            axis.axis("off")
        yield figure, axes


def to_png(figure: Figure) -> bytes:
    """A figure as PNG with a transparent ground."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DPI, transparent=True)
    return buffer.getvalue()


def to_webp(figure: Figure) -> bytes:
    """A figure of photographs as WebP with a transparent ground: a fifth of the PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="webp", dpi=_DPI, transparent=True, pil_kwargs={"quality": 85})
    return buffer.getvalue()


def readable(kind: str) -> str:
    """A kind's id as words."""
    return kind.replace("_", " ")


def roc_curves(test: LabelledScores) -> bytes:
    """One ROC curve per kind with both classes."""
    from sklearn.metrics import roc_curve

    from xlip.metrics.auroc import auroc

    shown = list(both_classes(test))
    with canvas(len(shown), 5, 1.85, 2.1) as (figure, axes):
        for axis, (kind, truth, score) in zip(axes, shown, strict=False):
            false, true, _ = roc_curve(truth, score)
            unit_square(axis, f"{readable(kind)}\n{auroc(truth, score)[0]:.3f} ({int(truth.sum())} positive)")
            axis.plot([0, 1], [0, 1], color=GRAY, linewidth=0.7, linestyle=":")
            axis.plot(false, true, color=COLORS[0], linewidth=1.4)
        return to_png(figure)


def unit_square(axis: Any, title: str) -> None:
    """Axes from 0 to 1 on both sides."""
    axis.set_title(title, fontsize=8.5)
    axis.set(xticks=[0, 1], yticks=[0, 1], xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")


def panel_grid(rows: Sequence[Sequence[Panel]]) -> bytes:
    """Rows of images, with heat-maps and outlines where given.

    A heat-map colours what is above 0 and above its own median, up to its maximum, and is as opaque as it is high: the
    rest keeps its gray levels. Its range stands in the title, because the colours of two images are not on one scale.
    """
    columns = max(len(row) for row in rows)
    with canvas(len(rows) * columns, columns, 1.6, 1.95) as (figure, axes):
        for number, axis in enumerate(axes):
            axis.axis("off")
            row = rows[number // columns]
            if number % columns < len(row):
                _draw_panel(axis, row[number % columns])
        return to_webp(figure)


def _draw_panel(axis: Any, panel: Panel) -> None:
    height, width = panel.image.shape
    frame = (0, width, height, 0)
    axis.imshow(panel.image, cmap="gray", vmin=0, vmax=255, extent=frame)
    title = panel.title
    if panel.heat is not None:
        title += f"\n{panel.heat.min():+.2f} to {panel.heat.max():+.2f}"
        heat = _enlarged(panel.heat, panel.image.shape)
        low, high = max(float(np.median(heat)), 0.0), float(heat.max())
        strength = np.clip((heat - low) / (high - low), 0, 1) if high > low else np.zeros_like(heat)
        axis.imshow(strength, cmap="autumn", vmin=0, vmax=1, alpha=0.75 * strength, extent=frame)
    if panel.outline is not None and panel.outline.any():
        axis.contour(panel.outline, [0.5], colors="#39d0ff", linewidths=1)
    axis.set_title(title, fontsize=8)


def _enlarged(heat: Array, shape: tuple[int, ...]) -> Array:
    """(h, w) -> `shape`, bilinear between the centres of the patches."""
    from PIL import Image

    picture = Image.fromarray(heat.astype(np.float32))
    return np.asarray(picture.resize((shape[1], shape[0]), Image.Resampling.BILINEAR))


def dots(
    names: Sequence[str],
    values: Sequence[float | None],
    intervals: Sequence[tuple[float | None, float | None]],
    beside: Sequence[float | None],
) -> bytes:
    """One dot per name with its 95 % interval, from 0 to 1, and beside it what it is to be compared with (a bar).

    None leaves a gap.
    """
    with canvas(1, 1, 8.6, 0.7 + 0.24 * len(names)) as (figure, (axis,)):
        places = np.arange(len(names))
        low, high = np.asarray(intervals, float).reshape(-1, 2).T
        axis.hlines(places, low, high, color=COLORS[0], linewidth=2, alpha=0.7)
        axis.scatter(np.asarray(beside, float), places, marker="|", s=90, color=GRAY)
        axis.scatter(np.asarray(values, float), places, s=26, color=COLORS[0], zorder=2)
        axis.axvline(0.5, color=GRAY, linewidth=0.8, linestyle=":")
        axis.set_yticks(places, [readable(name) for name in names])
        axis.set(xlim=(0, 1), ylim=(len(names) - 0.5, -0.5), xlabel="macro AUROC")
        return to_png(figure)


def bars(
    names: Sequence[str],
    series: Mapping[str, Sequence[float | None]],
    intervals: Mapping[str, Sequence[tuple[float | None, float | None]]] | None = None,
    *,
    label: str = "zero-shot AUROC",
    chance: float | None = 0.5,
) -> bytes:
    """A figure of each kind, one bar per series, from 0 to 1: with its value, its interval and the line of chance.

    None, or a value that is not finite, leaves a gap with a dash.
    """
    thick = 0.8 / len(series)
    with canvas(1, 1, 8.6, 0.6 + len(names) * max(0.24, 0.17 * len(series))) as (figure, (axis,)):
        for number, (name, values) in enumerate(series.items()):
            places = np.arange(len(names)) + (number - (len(series) - 1) / 2) * thick
            numbers = np.asarray(values, float)
            known = np.nan_to_num(numbers)
            axis.barh(places, known, thick * 0.9, label=name, color=COLORS[number % len(COLORS)], alpha=0.65)
            ends = known
            if intervals and name in intervals:
                low, high = np.nan_to_num(np.asarray(intervals[name], float)).T
                axis.hlines(places, low, high, color=COLORS[number % len(COLORS)], linewidth=2)
                ends = np.maximum(known, high)
            for place, value, end in zip(places, numbers, ends, strict=True):
                words = f"{value:.3f}" if np.isfinite(value) else "-"
                axis.text(end + 0.01, place, words, va="center", fontsize=7.5)
        axis.set_yticks(np.arange(len(names)), [readable(name) for name in names])
        if chance is not None:
            axis.axvline(chance, color=GRAY, linewidth=0.8, linestyle=":")
        axis.set(xlim=(0, 1.08), ylim=(len(names) - 0.5, -0.5), xticks=np.linspace(0, 1, 6), xlabel=label)
        if len(series) > 1:
            axis.legend(fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=len(series))
        return to_png(figure)
