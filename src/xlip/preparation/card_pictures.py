"""The pictures of a data card: a contact sheet and histograms, as PNG bytes."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from xlip.images.files import decode
from xlip.images.square import fit

COLUMNS, ROWS, TILE = 8, 6, 128
_PLACES = {"left": 0.17, "right": 0.98, "bottom": 0.05, "top": 0.95, "wspace": 0.12, "hspace": 0.2}
"""Shares of the figure; at the left the names of kinds stand."""
_TITLE: dict[str, float] = {"fontsize": 10, "y": 1.0, "pad": 6}
"""At a fixed height, or every title would be moved by what stands around it."""


def contact_sheet(files: Sequence[Path]) -> bytes:
    """48 images, 128 pixels each, spread evenly over the files; black where there are fewer."""
    sheet = np.zeros((ROWS * TILE, COLUMNS * TILE), np.uint8)
    for number, data in enumerate(sample_images(files, ROWS * COLUMNS)):
        top, left = divmod(number, COLUMNS)
        sheet[top * TILE : (top + 1) * TILE, left * TILE : (left + 1) * TILE] = fit(decode(data), TILE)
    buffer = io.BytesIO()
    Image.fromarray(sheet).save(buffer, "PNG")
    return buffer.getvalue()


def sample_images(files: Sequence[Path], count: int) -> list[bytes]:
    """Encoded images from evenly spread files and row groups, one row group in memory at a time."""
    import pyarrow.parquet as pq

    chosen = sorted({round(i) for i in np.linspace(0, len(files) - 1, min(len(files), count))})
    each = -(-count // len(chosen))
    found: list[bytes] = []
    for number in chosen:
        with files[number].open("rb") as stream:
            parquet = pq.ParquetFile(stream)
            for group in range(parquet.num_row_groups):
                column = parquet.read_row_group(group, columns=["image"])["image"].drop_null()
                if len(column):
                    picks = {round(i) for i in np.linspace(0, len(column) - 1, min(each, len(column)))}
                    found += [column[i].as_py()["bytes"] for i in sorted(picks)]
                    break
    return found[:count]


def histograms(kinds: Mapping[str, Mapping[str, int]], measures: Mapping[str, Any]) -> bytes:
    """Kinds, short side of the originals, words of the reports, ages."""
    from matplotlib.figure import Figure

    # Places by numbers: a layout that looks for them draws the figure several times, most of a small set's time.
    figure = Figure(figsize=(12, 8))
    axes = figure.subplots(2, 2, gridspec_kw=_PLACES).ravel()
    _kind_bars(axes[0], kinds)
    panels = (
        ("short_sides", "short side of the originals, pixels"),
        ("words", "words of a report"),
        ("ages", "age, years"),
    )
    for axis, (name, title) in zip(axes[1:], panels, strict=True):
        values = np.asarray(measures[name])
        if len(values):
            axis.stairs(*np.histogram(values, bins=40), fill=True, color="#4878a8")
            axis.set_ylim(bottom=0)
        axis.set_title(title if len(values) else f"{title}: none", **_TITLE)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=80, metadata={"Software": None})
    return buffer.getvalue()


def _kind_bars(axis: Any, kinds: Mapping[str, Mapping[str, int]]) -> None:
    names = sorted(kinds, key=lambda kind: -kinds[kind].get("present", 0))[:20]
    for state, colour in (("present", "#c44e52"), ("uncertain", "#dd8452")):
        axis.barh(names, [kinds[kind].get(state, 0) for kind in names], color=colour, label=state, alpha=0.8)
    axis.invert_yaxis()
    axis.set_title("studies of each kind" if names else "kinds: none", **_TITLE)
    if names:
        axis.legend(fontsize=8)
        axis.tick_params(axis="y", labelsize=7)
