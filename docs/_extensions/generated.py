"""Pages of the reference that are written from the source each time the site is built."""

from __future__ import annotations

from typing import Any

from sphinx.application import Sphinx


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect to Sphinx."""
    return {"parallel_read_safe": True, "parallel_write_safe": True}
