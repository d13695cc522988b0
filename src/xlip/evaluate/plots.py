"""Figures as PNG bytes, drawn by matplotlib without a screen."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from xlip.evaluate.zeroshot import ZeroShotResult


@dataclass(frozen=True)
class Panel:
    """One image of a figure: grayscale pixels, and over them a heat-map and an outline."""

    image: np.ndarray[Any, Any]
    title: str = ""
    heat: np.ndarray[Any, Any] | None = None
    """(h, w) any scale; enlarged to the image."""
    outline: np.ndarray[Any, Any] | None = None
    """(H, W) bool."""


def roc_grid(result: ZeroShotResult) -> bytes:
    """One ROC curve per kind that has both classes."""
    from sklearn.metrics import roc_curve

    shown = [i for i, m in enumerate(result.measured) if m.positives and m.negatives]
    figure, axes = _grid(max(len(shown), 1), 5, 2.2)
    for axis, index in zip(axes, shown, strict=False):
        known = result.labels[:, index] >= 0
        false, true, _ = roc_curve(result.labels[known, index], result.scores[known, index])
        axis.plot(false, true, color="#2463a6")
        axis.plot([0, 1], [0, 1], color="#999999", linewidth=0.7)
        area, positives = result.measured[index].auroc, result.measured[index].positives
        axis.set_title(f"{result.kinds[index]}\n{area:.3f} ({positives} positive)", fontsize=8)
        axis.set(xticks=[0, 1], yticks=[0, 1], aspect="equal")
    return _png(figure)


def panel_grid(rows: Sequence[Sequence[Panel]]) -> bytes:
    """Rows of images, with heat-maps and outlines where given."""
    columns = max(len(row) for row in rows)
    figure, axes = _grid(len(rows) * columns, columns, 2.0)
    for number, axis in enumerate(axes):
        axis.axis("off")
        row = rows[number // columns]
        if number % columns >= len(row):
            continue
        panel = row[number % columns]
        height, width = panel.image.shape
        axis.imshow(panel.image, cmap="gray", vmin=0, vmax=255, extent=(0, width, height, 0))
        if panel.heat is not None:
            axis.imshow(panel.heat, cmap="inferno", alpha=0.5, extent=(0, width, height, 0), interpolation="bilinear")
        if panel.outline is not None and panel.outline.any():
            axis.contour(panel.outline, [0.5], colors="#39d0ff", linewidths=1)
        axis.set_title(panel.title, fontsize=7)
    return _png(figure)


def bars(names: Sequence[str], series: Mapping[str, Sequence[float]]) -> bytes:
    """AUROC of each kind, one bar per series."""
    figure, (axis,) = _grid(1, 1, 4.5)
    height = 0.8 / len(series)
    for number, (name, values) in enumerate(series.items()):
        axis.barh(np.arange(len(names)) + number * height, values, height, label=name)
    axis.set_yticks(np.arange(len(names)) + 0.4 - height / 2, names, fontsize=7)
    axis.axvline(0.5, color="#999999", linewidth=0.8)
    axis.set(xlim=(0.3, 1), xlabel="zero-shot AUROC")
    axis.invert_yaxis()
    axis.legend(fontsize=7)
    return _png(figure)


def _grid(count: int, columns: int, side: float) -> tuple[Figure, list[Any]]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = min(columns, count)
    rows = -(-count // columns)
    figure = Figure(figsize=(side * columns * (1.4 if count == 1 else 1), (side + 0.3) * rows), layout="tight")
    FigureCanvasAgg(figure)
    axes = [figure.add_subplot(rows, columns, i + 1) for i in range(rows * columns)]
    for axis in axes[count:]:
        axis.axis("off")
    return figure, axes


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()
