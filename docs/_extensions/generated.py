"""Writes the generated pages before Sphinx reads any, and makes our docstrings palatable to it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from reference_pages import pages
from sphinx.application import Sphinx


def write_pages(app: Sphinx) -> None:
    """Write what is new or changed; take away what is no longer made."""
    folder = Path(app.srcdir) / "reference" / "generated"
    made = {folder / name: text for name, text in pages().items()}
    for file, text in made.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        if not file.exists() or file.read_text("utf-8") != text:
            file.write_text(text, "utf-8")
    for file in set(folder.rglob("*.md")) - set(made):
        file.unlink()


def as_plain_text(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Docstrings are plain text with `code` in backticks: what reStructuredText would read as its own is escaped."""
    for number, line in enumerate(lines):
        pieces = re.split(r"(``[^`]+``|`[^`]+`)", line)
        lines[number] = "".join(
            piece if piece.startswith("`") else re.sub(r"([*|\\])", r"\\\1", re.sub(r"(\w)_(?=\W|$)", r"\1\\_", piece))
            for piece in pieces
        )


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect to Sphinx."""
    app.connect("builder-inited", write_pages)
    app.connect("autodoc-process-docstring", as_plain_text, priority=100)  # before napoleon's 500
    return {"parallel_read_safe": True, "parallel_write_safe": True}
