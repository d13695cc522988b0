"""Self-contained HTML pages: text, tables and pictures in one file, readable without a network."""

from __future__ import annotations

import base64
import io
import math
import re
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, Self

from xlip.files import write_whole


class Page:
    """A page that grows from the top; the template `page.html` escapes whatever it is given."""

    def __init__(self, title: str) -> None:
        self.title = title
        self._parts: list[dict[str, Any]] = []

    def _add(self, form: str, **more: Any) -> Self:
        self._parts.append({"form": form, **more})
        return self

    def text(self, paragraph: str, *, note: bool = False) -> Self:
        """A paragraph; `note` sets it small."""
        return self._add("text", words=paragraph, note=note)

    def heading(self, words: str) -> Self:
        """A section's heading, to which a link of `contents` leads."""
        name = re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")
        return self._add("heading", words=words, name=f"{name}-{len(self._parts)}")

    def subheading(self, words: str) -> Self:
        """A heading within a section."""
        return self._add("subheading", words=words)

    def contents(self) -> Self:
        """Links to all headings of the page, also to those that follow."""
        return self._add("contents")

    def cards(self, cards: Sequence[tuple[str, str, str]]) -> Self:
        """Large figures side by side: (name, figure, explanation)."""
        return self._add("cards", cards=cards)

    def table(
        self,
        header: Sequence[str],
        rows: Sequence[Sequence[object]],
        *,
        words: Sequence[int] = (),
        folded: str = "",
        sortable: bool = False,
    ) -> Self:
        """A table; numbers come as formatted strings.

        Args:
            header: one cell per column.
            rows: as many cells each.
            words: columns of running text, set left.
            folded: where given, the table is closed under this line until the reader opens it.
            sortable: a click on a heading sorts the rows where scripts run; elsewhere they stay as given.
        """
        return self._add("table", header=header, rows=rows, words=words, folded=folded, sortable=sortable)

    def figure(self, picture: bytes, caption: str) -> Self:
        """A PNG or WebP picture with its caption, which is its alternative text too."""
        kind = _kind(picture)
        data = base64.b64encode(picture).decode()
        return self._add("figure", caption=caption, size=_size(picture), kind=kind, data=data)

    def row(self, pictures: Sequence[tuple[bytes, str]]) -> Self:
        """Pictures with their captions side by side, as many as fit."""
        shown = [(_kind(picture), base64.b64encode(picture).decode(), caption) for picture, caption in pictures]
        return self._add("row", pictures=shown)

    def html(self) -> str:
        """The whole page."""
        from jinja2 import Environment, StrictUndefined

        source = files("xlip.pages").joinpath("page.html").read_text("utf-8")
        template = Environment(autoescape=True, undefined=StrictUndefined).from_string(source)
        return template.render(title=self.title, parts=self._parts)

    def write(self, path: Path) -> None:
        """Write the page as one file, whole or not at all."""
        write_whole(path, self.html().encode())


def _kind(picture: bytes) -> str:
    return "webp" if picture[8:12] == b"WEBP" else "png"


def _size(picture: bytes) -> tuple[int, int] | None:
    """Width and height of the picture on the page, so that nothing moves while it loads."""
    from PIL import Image

    from xlip.pages.plots import DENSITY

    try:
        width, height = Image.open(io.BytesIO(picture)).size
    except OSError:  # not a picture: the browser says so in its place
        return None
    return width // DENSITY, height // DENSITY


def figure_text(value: float) -> str:
    """Three decimals; a dash for what cannot be computed."""
    return f"{value:.3f}" if math.isfinite(value) else "-"
