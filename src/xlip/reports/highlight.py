"""A report with its entities in colour: for a terminal (`rich`) and for a page (HTML)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from typing import TYPE_CHECKING

from xlip.study.record import Entity

if TYPE_CHECKING:
    from rich.text import Text

COLOURS = {
    "finding": "#c0392b",
    "device": "#6c3483",
    "procedure": "#7d6608",
    "anatomy": "#1f618d",
    "location": "#148f77",
    "severity": "#b9770e",
}
"""Of each entity type; dark enough to read on white, light enough on black."""
MARKS = {
    "present": ("", ""),
    "absent": ("line-through", "strike"),
    "uncertain": ("underline dotted", "underline"),
    "historical": ("overline", "italic"),
    "hypothetical": ("underline wavy", "dim italic"),
}
"""Of each assertion: text decoration on a page, style in a terminal. Colour alone would not reach every reader."""


def to_html(text: str, entities: Sequence[Entity]) -> str:
    """The text as an HTML fragment: everything escaped, one `<mark>` per entity, its meaning in the tooltip.

    Entities that reach outside the text or overlap an earlier one are left plain, so that the text stays whole.
    """
    pieces = []
    for start, end, entity in _pieces(text, entities):
        words = escape(text[start:end])
        if entity is None:
            pieces.append(words)
            continue
        colour, decoration = COLOURS.get(entity.type, "inherit"), MARKS.get(entity.assertion, ("", ""))[0]
        style = f"background:none;color:{colour};text-decoration:{decoration or 'none'}"
        pieces.append(f'<mark style="{style}" title="{escape(describe(entity))}">{words}</mark>')
    return f'<p style="white-space:pre-wrap">{"".join(pieces)}</p>'


def to_rich(text: str, entities: Sequence[Entity]) -> Text:
    """The text for a terminal; nothing in it is read as markup."""
    from rich.text import Text

    coloured = Text(text)
    for start, end, entity in _pieces(text, entities):
        if entity is not None:
            mark = MARKS.get(entity.assertion, ("", ""))[1]
            coloured.stylize(f"{mark} {COLOURS.get(entity.type, '')}".strip(), start, end)
    return coloured


def describe(entity: Entity) -> str:
    """One line about an entity: type, assertion, and kind and side where it has them."""
    kind = f": {entity.kind}" if entity.kind else ""
    side = f", {entity.side}" if entity.side else ""
    return f"{entity.type}, {entity.assertion}{kind}{side}"


def _pieces(text: str, entities: Sequence[Entity]) -> Iterator[tuple[int, int, Entity | None]]:
    place = 0
    for entity in sorted(entities, key=lambda item: (item.start, -item.end)):
        if not place <= entity.start < entity.end <= len(text):
            continue
        if place < entity.start:
            yield place, entity.start, None
        yield entity.start, entity.end, entity
        place = entity.end
    if place < len(text):
        yield place, len(text), None
