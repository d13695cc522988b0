"""Notices: what was guessed, repaired or lost in something that is kept all the same.

Whoever reads an image or a report says it with `notice`; `prepare` collects it for each study and writes
`warnings.csv`. Outside a collecting block a notice is dropped: showing one picture is not a preparation.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

ROUTINE = ("de-identified", "no section found")
"""How notices begin that tell of what every archive has: they are counted and listed, but `strict` lets them pass."""

_collected: ContextVar[list[str] | None] = ContextVar("collected", default=None)


def notice(reason: str) -> None:
    """Say that something was guessed, repaired or lost.

    Args:
        reason: such as `window is too narrow for the pixels: width 255, values 0 to 4095`. The words before the first
            `: ` name the kind, under which notices are counted together; they hold no name, path or number.
    """
    found = _collected.get()
    if found is not None and reason not in found:
        found.append(reason)


@contextmanager
def noticed() -> Iterator[list[str]]:
    """Collects the notices of the block, each once, in order."""
    found: list[str] = []
    token = _collected.set(found)
    try:
        yield found
    finally:
        _collected.reset(token)
