"""Progress of a command that takes long: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec

PLAIN_SECONDS = 30.0
"""Without a terminal, a line of text this often."""


@contextmanager
def progress_shown(what: str, unit: str) -> Iterator[Callable[[int, int], None]]:
    """What takes (done, total) and shows it with rate and remaining time on stderr; total 0 is unknown."""
    if not has_bar():
        yield _PlainLines(what, unit).say
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TextColumn(unit), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total or None)


def has_bar() -> bool:
    """Whether a bar can be drawn: on a terminal, by a package that a server may lack."""
    return sys.stderr.isatty() and find_spec("rich") is not None


class _PlainLines:
    def __init__(self, what: str, unit: str) -> None:
        self.what, self.unit = what, unit
        self.start = self.said = time.monotonic()

    def say(self, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self.said >= PLAIN_SECONDS:
            self.said = now
            print(plain_line(self.what, self.unit, done, total, now - self.start), file=sys.stderr, flush=True)


def plain_line(what: str, unit: str, done: int, total: int, seconds: float) -> str:
    """`embed: 2,048 of 5,000 images, 35.1 a second, 1 min 24 s left`; without a total, neither it nor what is left."""
    rate = done / seconds if seconds > 0 else 0.0
    if not total:
        return f"{what}: {done:,} {unit}, {rate:.1f} a second"
    left = f", {_words((total - done) / rate)} left" if rate > 0 else ""
    return f"{what}: {done:,} of {total:,} {unit}, {rate:.1f} a second{left}"


def _words(seconds: float) -> str:
    minutes, rest = divmod(round(max(seconds, 0)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
