"""How much is taken on at once: places in the queue, and the memory of the bodies that wait in it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import monotonic

from xlip.serve.problems import RequestError

LONGEST_WAIT = 60
"""Seconds: no client is told to stay away for longer."""


@dataclass
class Admission:
    """Counts requests and their bytes; all calls come from one event loop."""

    places: int
    most_bytes: int
    waiting: int = 0
    held_bytes: int = 0
    refused: int = 0
    _seconds: float = field(default=0.1)
    """What a request took lately, as a running mean of the time between two that were finished."""
    _last: float = 0.0

    @contextmanager
    def place(self) -> Iterator[Place]:
        """A place for the block.

        Raises:
            RequestError: all are taken.
        """
        if self.waiting >= self.places:
            raise self.busy(f"{self.places} requests wait already")
        self.waiting += 1
        place = Place(self)
        try:
            yield place
        finally:
            self.waiting -= 1
            self.held_bytes -= place.held
            now = monotonic()
            if self.waiting and self._last:
                self._seconds += (min(now - self._last, 5.0) - self._seconds) / 16
            self._last = now

    def busy(self, why: str) -> RequestError:
        """The refusal, with the seconds after which half of what waits should be done."""
        self.refused += 1
        wait = min(LONGEST_WAIT, max(1, math.ceil(self.waiting * self._seconds / 2)))
        return RequestError("busy", f"{why}; try again in {wait} s", {"Retry-After": str(wait)})


@dataclass
class Place:
    """One request's share of the memory."""

    of: Admission
    held: int = 0

    def hold(self, count: int) -> None:
        """Count further bytes of the body.

        Raises:
            RequestError: all requests together would hold too much.
        """
        if self.of.held_bytes + count > self.of.most_bytes:
            raise self.of.busy("the bodies of other requests fill the memory")
        self.held += count
        self.of.held_bytes += count
