"""Worker processes for `prepare`, one unit at a time each: a worker that dies or hangs costs one row, not the run.

`ProcessPoolExecutor` gives up as a whole when a decoder written in C kills its process, and does not say which file it
was. Here each worker keeps the number of the row it reads in shared memory, so the parent knows the culprit, sends that
row to quarantine and does the rest of the unit again.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import Any

from xlip.errors import XLIPError
from xlip.preparation.part import InterruptedRunError, Settings, run_unit
from xlip.preparation.plan import Unit

STALL_SECONDS = 120.0
"""A row that takes longer is taken for a decoder that hangs."""
POLL_SECONDS = 0.2


def run_units(units: Iterator[Unit], settings: Settings, workers: int, progress: Callable[[int], None]) -> None:
    """Run every unit; `progress` gets the number of rows read since it was last called.

    Raises:
        InterruptedRunError: a fault that stops the run; finished units stay finished.
    """
    if workers == 0:
        for unit in units:
            ticks = _Ticks(progress)
            run_unit(unit, settings, {}, ticks)
            ticks.close(len(unit.rows))
        return
    crew = [Worker(settings) for _ in range(workers)]
    try:
        _drive(units, crew, progress)
    finally:
        for worker in crew:
            worker.stop()


def _drive(units: Iterator[Unit], crew: list[Worker], progress: Callable[[int], None]) -> None:
    waiting = True
    while True:
        for worker in crew:
            if waiting and worker.unit is None:
                unit = next(units, None)
                waiting = unit is not None
                if unit is not None:
                    worker.start(unit)
        busy = [worker for worker in crew if worker.unit is not None]
        if not busy:
            return
        ready = wait([handle for worker in busy for handle in worker.handles()], POLL_SECONDS)
        for worker in busy:
            worker.look(set(ready))
        progress(sum(worker.new_rows() for worker in crew))


class _Ticks:
    """Counts rows for a run without worker processes."""

    def __init__(self, progress: Callable[[int], None]) -> None:
        self.progress, self.last = progress, 0

    def __call__(self, number: int) -> None:
        if number - self.last >= 32:
            self.progress(number - self.last)
            self.last = number

    def close(self, rows: int) -> None:
        self.progress(rows - self.last)


class Worker:
    """One process and the unit it works on."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.context = multiprocessing.get_context("spawn")  # a forked child of a threaded process may hang
        self.unit: Unit | None = None
        self.fatal: dict[int, str] = {}
        self.reported = 0
        self.process: Any = None

    def start(self, unit: Unit) -> None:
        """Give it a unit; starts the process where there is none."""
        self.unit, self.fatal, self.reported = unit, {}, 0
        self._send()

    def handles(self) -> list[Any]:
        """What to wait on: an answer, or the end of the process."""
        return [self.pipe, self.process.sentinel]

    def look(self, ready: set[Any]) -> None:
        """Take an answer; restart a process that died or hangs, without the row that did it.

        Raises:
            InterruptedRunError: the worker met a fault that stops the run.
        """
        if self.pipe in ready and self._answered():
            return
        if self.process.sentinel in ready or not self.process.is_alive():
            self.process.join()
            code = self.process.exitcode
            self._blame(f"not a readable image: reading it killed the process (exit code {code})")
        elif self._stalled():
            self.process.kill()
            self._blame(f"not a readable image: reading it took more than {STALL_SECONDS:.0f} s")

    def new_rows(self) -> int:
        """Rows read since the last call."""
        done = max(self.place.value, 0) if self.process else 0
        fresh, self.reported = max(done - self.reported, 0), max(done, self.reported)
        return fresh

    def stop(self) -> None:
        """End the process."""
        if self.process is not None:
            self.process.kill()
            self.process.join()
            self.pipe.close()

    def _send(self) -> None:
        if self.process is None:
            self.place = self.context.RawValue("q", -1)
            self.pipe, theirs = self.context.Pipe()
            arguments = (theirs, self.place, self.settings)
            self.process = self.context.Process(target=_serve, args=arguments, daemon=True)
            self.process.start()
            theirs.close()
        self.place.value = -1
        self.since = (time.monotonic(), -1)
        self.pipe.send((self.unit, self.fatal))

    def _answered(self) -> bool:
        try:
            kind, value = self.pipe.recv()
        except (EOFError, OSError):
            return False  # it died: its sentinel says so
        if kind == "error":
            raise value
        assert self.unit is not None
        self.place.value = len(self.unit.rows)
        self.unit = None
        return True

    def _stalled(self) -> bool:
        place = self.place.value
        if place != self.since[1]:
            self.since = (time.monotonic(), place)
        return place >= 0 and time.monotonic() - self.since[0] > STALL_SECONDS

    def _blame(self, reason: str) -> None:
        place = self.place.value
        self.stop()
        self.process = None
        if place < 0 or place in self.fatal:
            raise InterruptedRunError(
                f"a worker process died before it read a row ({reason}); is memory short? Try fewer workers"
            )
        self.fatal[place] = reason
        self._send()


def _serve(pipe: Connection, place: Any, settings: Settings) -> None:
    """A worker: units in, answers out, until the parent goes."""
    # spaCy, which the tagger stands on, imports torch where it is installed: 180 MB and two seconds for nothing.
    sys.modules.setdefault("torch", None)  # type: ignore[arg-type]
    threading.Thread(target=_leave_with_parent, daemon=True).start()

    def tick(number: int) -> None:
        place.value = number

    while True:
        try:
            unit, fatal = pipe.recv()
        except (EOFError, KeyboardInterrupt):
            return
        answer: tuple[str, Any]
        try:
            answer = ("done", run_unit(unit, settings, fatal, tick))
        except XLIPError as error:
            answer = ("error", error)
        except KeyboardInterrupt:
            return
        with suppress(BrokenPipeError):
            pipe.send(answer)


def _leave_with_parent() -> None:
    # A parent that was killed cannot end its workers; they must not go on writing while the next run writes.
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
