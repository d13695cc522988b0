"""Signals that ask a run to stop: it finishes its step, saves, and leaves."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP)
"""Ctrl-C; what schedulers send before they kill; what SLURM sends ahead of a time limit (`--signal=USR1@60`); what a
terminal sends when it is closed."""

SAME_REQUEST = 3.0
"""Seconds within which a signal that comes twice is one request: launchers pass on what the terminal sent already."""


class StopRequest:
    """The signal that arrived, 0 while none did."""

    def __init__(self) -> None:
        self.signal, self._time = 0, 0.0

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Within the block the first signal is only noted; one that comes seconds later acts as it would outside the
        block.

        Python hands signals to the main thread alone: in any other, nothing changes.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.getsignal(number) for number in SIGNALS}

        def note(number: int, frame: FrameType | None) -> None:
            if not self.signal:
                self.signal, self._time = number, time.monotonic()
            elif time.monotonic() - self._time > SAME_REQUEST:
                signal.signal(number, before[signal.Signals(number)])
                signal.raise_signal(number)

        for number in SIGNALS:
            if number != signal.SIGHUP or before[number] != signal.SIG_IGN:  # `nohup` asks to outlive the terminal
                signal.signal(number, note)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


@contextmanager
def held_back() -> Iterator[None]:
    """Processes that start within the block never see these signals: a Ctrl-C must not end a run's loader workers."""
    earlier = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, earlier)
