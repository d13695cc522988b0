"""Reports with their entities coloured, for a page and for the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from xlip.data.study import Entity

if TYPE_CHECKING:
    from rich.text import Text

COLOURS = {
    "finding": "#c44e52",
    "device": "#8172b3",
    "anatomy": "#4c72b0",
    "location": "#55a868",
    "severity": "#dd8452",
}
"""Type of an entity -> colour."""
MARKS = {"present": "", "absent": "line-through", "uncertain": "underline dotted"}
"""Assertion of an entity -> decoration."""


def to_html(text: str, entities: Sequence[Entity]) -> str:
    """The text as HTML, each entity in a span whose colour is its type and whose decoration its assertion."""
    parts, place = [], 0
    for entity in sorted(entities, key=lambda one: one.start):
        parts.append(escape(text[place : entity.start]))
        style = f"color:{COLOURS.get(entity.type, '#000')}"
        if MARKS.get(entity.assertion):
            style += f";text-decoration:{MARKS[entity.assertion]}"
        title = escape(f"{entity.type}, {entity.assertion}" + (f", {entity.kind}" if entity.kind else ""))
        body = escape(text[entity.start : entity.end])
        parts.append(f'<span style="{style}" title="{title}">{body}</span>')
        place = entity.end
    return "".join(parts) + escape(text[place:])


def to_rich(text: str, entities: Sequence[Entity]) -> Text:
    """The text for a `rich` console, in the same colours; what is denied is struck out, what is doubted underlined."""
    from rich.text import Text

    styled = Text(text)
    decorations = {"present": "", "absent": " strike", "uncertain": " underline"}
    for entity in entities:
        colour = COLOURS.get(entity.type, "#ffffff")
        styled.stylize(colour + decorations.get(entity.assertion, ""), entity.start, entity.end)
    return styled
