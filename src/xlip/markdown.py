"""Tables in Markdown."""

from __future__ import annotations

from collections.abc import Sequence


def markdown_table(header: Sequence[object], rows: Sequence[Sequence[object]]) -> str:
    """A table as text without a last end of line; a bar in a cell stays a bar."""
    lines = [" | ".join(str(cell).replace("|", "\\|") for cell in row) for row in (header, *rows)]
    head, *body = (f"| {line} |" for line in lines)
    return "\n".join([head, "|" + "---|" * len(header), *body])
