"""Self-contained HTML pages: text, tables and pictures in one file, readable without a network."""

from __future__ import annotations

import base64
import io
import math
import re
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Self

_STYLE = """
:root { color-scheme: light dark; --line: color-mix(in srgb, currentColor 18%, transparent); --accent: #2f7fc4; }
body { font: 15px/1.55 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem;
  background: Canvas; color: CanvasText; }
h1 { line-height: 1.2; } h3 { margin: 1.4rem 0 -.8rem; font-size: 1em; }
h2 { margin-top: 2.5rem; border-bottom: 1px solid var(--line); padding-bottom: .25rem; }
a { color: var(--accent); } nav { margin: 1rem 0; display: flex; flex-wrap: wrap; gap: .25rem 1.1rem; }
.scroll { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .7rem; text-align: right; vertical-align: top; }
th { font-weight: 600; } thead tr { border-bottom: 2px solid var(--line); }
th:first-child, td:first-child, .words { text-align: left; } td:first-child { white-space: nowrap; }
td.words { overflow-wrap: anywhere; }
tr { border-bottom: 1px solid var(--line); }
tbody tr:hover { background: color-mix(in srgb, var(--accent) 9%, transparent); }
.cards { display: flex; flex-wrap: wrap; gap: .8rem; margin: 1.2rem 0; }
.cards div { border: 1px solid var(--line); border-radius: .5rem; padding: .6rem 1rem; min-width: 8rem; }
.cards b { display: block; font-size: 1.7rem; line-height: 1.2; font-variant-numeric: tabular-nums; }
.cards small { display: block; opacity: .75; }
figure { margin: 1.5rem 0; } img { max-width: 100%; height: auto; }
figcaption, .note { opacity: .8; font-size: .9em; max-width: 46rem; } summary { cursor: pointer; }
@media print { nav { display: none; } details > * { display: block; } }
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
        self._headings: list[tuple[str, str]] = []
        self._contents: int | None = None

    def text(self, paragraph: str, *, note: bool = False) -> Self:
        """A paragraph; `note` sets it small."""
        self._parts.append(f"<p{' class=note' if note else ''}>{escape(paragraph)}</p>")
        return self

    def heading(self, words: str) -> Self:
        """A section's heading, to which a link of `contents` leads."""
        name = f"{re.sub(r'[^a-z0-9]+', '-', words.lower()).strip('-')}-{len(self._headings)}"
        self._headings.append((name, words))
        self._parts.append(f'<h2 id="{name}">{escape(words)}</h2>')
        return self

    def subheading(self, words: str) -> Self:
        """A heading within a section."""
        self._parts.append(f"<h3>{escape(words)}</h3>")
        return self

    def contents(self) -> Self:
        """Links to all headings of the page, also to those that follow."""
        self._contents = len(self._parts)
        self._parts.append("")
        return self

    def cards(self, cards: Sequence[tuple[str, str, str]]) -> Self:
        """Large figures side by side: (name, figure, explanation)."""
        cells = "".join(
            f"<div>{escape(name)}<b>{escape(figure)}</b><small>{escape(words)}</small></div>"
            for name, figure, words in cards
        )
        self._parts.append(f'<div class="cards">{cells}</div>')
        return self

    def table(
        self,
        header: Sequence[str],
        rows: Sequence[Sequence[object]],
        *,
        words: Sequence[int] = (),
        folded: str = "",
    ) -> Self:
        """A table; numbers come as formatted strings.

        Args:
            header: one cell per column.
            rows: as many cells each.
            words: columns of running text, set left.
            folded: where given, the table is closed under this line until the reader opens it.
        """
        left = dict.fromkeys(words, " class=words")
        head = "".join(f"<th scope=col{left.get(n, '')}>{escape(cell)}</th>" for n, cell in enumerate(header))
        body = "".join(
            "<tr>"
            + "".join(f"<td{left.get(number, '')}>{escape(str(cell))}</td>" for number, cell in enumerate(row))
            + "</tr>"
            for row in rows
        )
        table = f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
        self._parts.append(f"<details><summary>{escape(folded)}</summary>{table}</details>" if folded else table)
        return self

    def figure(self, picture: bytes, caption: str) -> Self:
        """A PNG or WebP picture with its caption, which is its alternative text too."""
        source = base64.b64encode(picture).decode()
        form = "webp" if picture[8:12] == b"WEBP" else "png"
        image = f'<img alt="{escape(caption)}"{_size(picture)} src="data:image/{form};base64,{source}">'
        self._parts.append(f"<figure>{image}<figcaption>{escape(caption)}</figcaption></figure>")
        return self

    def write(self, path: Path) -> None:
        """Write the page as one file."""
        parts = list(self._parts)
        if self._contents is not None:
            links = (f'<a href="#{name}">{escape(words)}</a>' for name, words in self._headings)
            parts[self._contents] = f"<nav>{' '.join(links)}</nav>"
        path.write_text(_FRAME.format(title=escape(self.title), style=_STYLE, body="\n".join(parts)), "utf-8")


def _size(picture: bytes) -> str:
    """Width and height of the picture on the page, so that nothing moves while it loads."""
    from PIL import Image

    from xlip.pages.plots import DENSITY

    try:
        width, height = Image.open(io.BytesIO(picture)).size
    except OSError:  # not a picture: the browser says so in its place
        return ""
    return f' width="{width // DENSITY}" height="{height // DENSITY}"'


def figure_text(value: float) -> str:
    """Three decimals; a dash for what cannot be computed."""
    return f"{value:.3f}" if math.isfinite(value) else "-"
