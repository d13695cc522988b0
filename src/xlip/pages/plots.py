"""Figures as bytes of a picture file, drawn by matplotlib without a screen, legible on a light and on a dark page."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xlip.explain.overlay import enlarged, painted
from xlip.metrics.labelled_scores import LabelledScores, both_classes

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL import Image

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
    span: tuple[float, float] | None = None
    """What the colours of the heat-map range over; without it, from its median, but at least 0, to its maximum."""


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


def readable(kind: str) -> str:
    """A kind's id as words."""
    return kind.replace("_", " ")


def roc_curves(test: LabelledScores) -> bytes:
    """One ROC curve per kind with both classes."""
    from xlip.metrics.auroc import auroc
    from xlip.metrics.curves import roc_curve

    shown = list(both_classes(test))
    with squares(len(shown)) as (figure, cells):
        for cell, (kind, truth, score) in zip(cells, shown, strict=True):
            false, true = roc_curve(truth, score)
            cell.frame(f"{readable(kind)}\n{auroc(truth, score)[0]:.3f} ({int(truth.sum())} positive)")
            cell.axis.plot(*cell.at([0, 1], [0, 1]), color=GRAY, linewidth=0.7, linestyle=":")
            cell.axis.plot(*cell.at(false, true), color=COLORS[0], linewidth=1.4)
        return to_png(figure)


@dataclass(frozen=True)
class Square:
    """One of many small squares, 0 to 1 on both sides, on one pair of axes: those of each would cost ten times more."""

    axis: Any
    left: float
    bottom: float
    side: float

    def at(self, x: Any, y: Any) -> tuple[Any, Any]:
        """Places in the square as places on the axes."""
        return self.left + self.side * np.asarray(x), self.bottom + self.side * np.asarray(y)

    def text(self, x: float, y: float, words: str, **style: Any) -> None:
        """Words at a place."""
        self.axis.text(*self.at(x, y), words, **style)

    def frame(self, title: str, *, ends: bool = True) -> None:
        """Two sides of the square, its title above, and 0 and 1 at the ends."""
        self.axis.plot(*self.at([0, 0, 1], [1, 0, 0]), color=GRAY, linewidth=0.8)
        self.text(0.5, 1.05, title, ha="center", va="bottom", fontsize=8.5)
        for end in (0, 1) if ends else ():
            self.text(end, -0.03, str(end), ha="center", va="top", fontsize=8)
            self.text(-0.03, end, str(end), ha="right", va="center", fontsize=8)


@contextmanager
def squares(count: int, columns: int = 5, *, left: float = 0.3) -> Iterator[tuple[Figure, list[Square]]]:
    """A figure with `count` squares in rows of `columns`; `left` inches stand free at the left of each."""
    side, width, height = 1.4, left + 1.55, 2.1
    columns = max(1, min(columns, count))
    rows = max(1, -(-count // columns))
    with canvas(1, 1, width * columns, height * rows) as (figure, (axis,)):
        axis.set_position((0, 0, 1, 1))
        axis.axis("off")
        axis.set(xlim=(0, width * columns), ylim=(0, height * rows))
        figure.set_layout_engine("none")
        yield (
            figure,
            [
                Square(axis, width * (number % columns) + left, height * (rows - 1 - number // columns) + 0.25, side)
                for number in range(count)
            ],
        )


def panel_grid(rows: Sequence[Sequence[Panel]]) -> bytes:
    """Rows of images as WebP, with heat-maps and outlines where given.

    A heat-map colours what is above 0 and above its own median, up to its maximum, and is as opaque as it is high: the
    rest keeps its gray levels. Its range stands in the title, because the colours of two images are not on one scale.
    """
    from PIL import Image

    columns = max(len(row) for row in rows)
    lines = max(panel.title.count("\n") + 1 + (panel.heat is not None) for row in rows for panel in row)
    width, height = PANEL + GAP, PANEL + lines * LINE + 2 * GAP
    sheet = Image.new("RGBA", (width * columns, height * len(rows)))
    for down, row in enumerate(rows):
        for across, panel in enumerate(row):
            sheet.paste(_drawn(panel), (width * across, height * down + lines * LINE + GAP))
            _write_title(sheet, panel, (width * across + PANEL // 2, height * down + lines * LINE + GAP // 2))
    buffer = io.BytesIO()
    sheet.save(buffer, "webp", quality=85, method=2)
    return buffer.getvalue()


PANEL, GAP, LINE = 150 * DENSITY, 6 * DENSITY, 13 * DENSITY
"""Pixels: side of an image, between two, and height of a line of a title."""


def _drawn(panel: Panel) -> Image.Image:
    """The image, coloured where the heat is, with its outline."""
    from PIL import Image

    gray = np.rint(enlarged(panel.image, (PANEL, PANEL)).clip(0, 255)).astype(np.uint8)
    color = np.repeat(gray[..., None], 3, axis=2)
    if panel.heat is not None:
        heat = enlarged(panel.heat, (PANEL, PANEL))
        low, high = panel.span or (max(float(np.median(heat)), 0.0), float(heat.max()))
        color = painted(gray, heat, low, high)
    if panel.outline is not None:
        inside = enlarged(panel.outline, (PANEL, PANEL)) > 0.5
        edge = np.zeros_like(inside)
        for axis in (0, 1):
            edge |= inside != np.roll(inside, DENSITY, axis)
        color[edge] = (57, 208, 255)
    return Image.fromarray(color)


def _write_title(sheet: Image.Image, panel: Panel, bottom: tuple[int, int]) -> None:
    """The title centred above an image, and under it the range of the heat."""
    from matplotlib import get_data_path
    from PIL import ImageDraw, ImageFont

    span = "" if panel.heat is None else f"\n{panel.heat.min():+.2f} to {panel.heat.max():+.2f}"
    font = ImageFont.truetype(str(Path(get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"), 9.5 * DENSITY)
    draw = ImageDraw.Draw(sheet)
    draw.multiline_text(bottom, panel.title + span, fill=GRAY, font=font, anchor="md", align="center", spacing=2)


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
