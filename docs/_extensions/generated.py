"""Writes the generated pages before Sphinx reads any, and makes our docstrings palatable to it."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from typing import Any

from reference_pages import pages, rooms
from sphinx.application import Sphinx
from sphinx.ext.napoleon.docstring import GoogleDocstring


def write_pages(app: Sphinx) -> None:
    """Write what is new or changed; take away what is no longer made."""
    for module in (module for modules in rooms().values() for module in modules):
        import_module(module)  # by ourselves: Sphinx imports with TYPE_CHECKING set, which pydantic does not bear
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
    pieces = re.split(r"(``[^`]+``|`[^`]+`)", "\n".join(lines))
    for number, piece in enumerate(pieces):
        if piece.startswith("`"):
            # Spaces that are taken away again let code stand beside a letter, as in `cells`^2.
            pieces[number] = rf"\ ``{' '.join(piece.strip('`').split())}``\ "
        else:
            pieces[number] = re.sub(r"([*|\\])", r"\\\1", re.sub(r"(\w)_(?=\W|$)", r"\1\\_", piece))
    lines[:] = "".join(pieces).split("\n")


class WholeDocstring(GoogleDocstring):
    """Of the docstring of a variable, napoleon takes what stands before a colon for its type; ours are sentences."""

    def _consume_inline_attribute(self) -> tuple[str, list[str]]:
        return "", self._dedent(self._consume_to_end())


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect to Sphinx."""
    GoogleDocstring._consume_inline_attribute = WholeDocstring._consume_inline_attribute  # type: ignore[method-assign]
    app.connect("builder-inited", write_pages)
    app.connect("autodoc-process-docstring", as_plain_text, priority=100)  # before napoleon's 500
    return {"parallel_read_safe": True, "parallel_write_safe": True}
