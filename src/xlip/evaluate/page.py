"""Self-contained HTML pages: text, tables and pictures in one file, readable without a network."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from xlip.evaluate.zeroshot import ZeroShotResult

_STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; margin: 1rem 0; } th, td { padding: .25rem .7rem; text-align: right; }
th:first-child, td:first-child { text-align: left; }
tr { border-bottom: 1px solid color-mix(in srgb, currentColor 20%, transparent); }
figure { margin: 1.5rem 0; } img { max-width: 100%; background: white; }
figcaption, .note { opacity: .75; font-size: .9em; }
"""
# An empty icon, or a browser would ask a server for one.
_FRAME = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title><link rel="icon" href="data:,"><style>{style}</style></head><body>
{body}
</body></html>
"""


class Page:
    """A page that grows from the top; `write` puts it on disk."""

    def __init__(self, title: str) -> None:
        self.title = title
        self._parts = [f"<h1>{escape(title)}</h1>"]

    def text(self, paragraph: str, *, note: bool = False) -> Self:
        """A paragraph; `note` sets it small."""
        self._parts.append(f"<p{' class=note' if note else ''}>{escape(paragraph)}</p>")
        return self

    def heading(self, words: str) -> Self:
        """A section's heading."""
        self._parts.append(f"<h2>{escape(words)}</h2>")
        return self

    def table(self, header: Sequence[str], rows: Sequence[Sequence[object]]) -> Self:
        """A table; numbers come as formatted strings."""
        head = "".join(f"<th scope=col>{escape(cell)}</th>" for cell in header)
        body = "".join("<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows)
        self._parts.append(f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>")
        return self

    def figure(self, png: bytes, caption: str) -> Self:
        """A picture with its caption, which is its alternative text too."""
        source = base64.b64encode(png).decode()
        image = f'<img alt="{escape(caption)}" src="data:image/png;base64,{source}">'
        self._parts.append(f"<figure>{image}<figcaption>{escape(caption)}</figcaption></figure>")
        return self

    def write(self, path: Path) -> None:
        """Write the page as one file."""
        path.write_text(_FRAME.format(title=escape(self.title), style=_STYLE, body="\n".join(self._parts)), "utf-8")


def zero_shot_page(result: ZeroShotResult) -> Page:
    """The page of `xlip zeroshot`."""
    from xlip.evaluate.plots import roc_grid

    page = Page("Zero-shot classification").text("Research use only; not a medical device.", note=True)
    low, high = result.macro_ci95
    page.text(
        f"Macro AUROC {figure_text(result.macro_auroc)} (95 % interval {figure_text(low)} to {figure_text(high)})."
    )
    page.table(TABLE_HEADER, table_rows(result))
    if result.left_out:
        page.text(
            f"Not in the macro mean, fewer than 10 positives or negatives: {', '.join(result.left_out)}.", note=True
        )
    if result.dropped:
        page.text(f"{len(result.dropped)} images could not be read; dropped.csv lists them.", note=True)
    page.table(("made with", ""), list(result.identity.items()))
    return page.figure(roc_grid(result), "ROC curve of each kind")


TABLE_HEADER = ("kind", "AUROC", "95 % interval", "AUPRC", "positives", "negatives")


def table_rows(result: ZeroShotResult) -> list[tuple[str, ...]]:
    """One row per kind, as text, for pages and terminals."""
    return [
        (
            kind,
            figure_text(m.auroc),
            f"{figure_text(m.ci95[0])} to {figure_text(m.ci95[1])}",
            figure_text(m.auprc),
            str(m.positives),
            str(m.negatives),
        )
        for kind, m in zip(result.kinds, result.measured, strict=True)
    ]


def figure_text(value: float) -> str:
    """Three decimals; a dash for what cannot be computed."""
    return f"{value:.3f}" if math.isfinite(value) else "-"
