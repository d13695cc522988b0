"""What the command line knows of a command."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Command:
    """A command: its config's class by name (importing it may pull torch), its function, its help."""

    config: str
    run: Callable[[Any], int | None]
    """Returns the exit code, None for 0."""
    help: str
    positional: str = ""
    words: Callable[[list[str]], list[str]] | None = None
    """Rewrites the words that follow the command, options in underscores, before they are parsed."""
    several: tuple[str, ...] = ()
    """Options that take several values; one that is also `positional` needs no name."""
    extra: str = "train"
    """The extra of the package whose packages it needs; '' for the core alone."""
