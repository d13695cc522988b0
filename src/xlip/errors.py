"""The one exception that is meant for users' eyes."""

from __future__ import annotations


class XLIPError(ValueError):
    """A fault in the user's input: one line that says what was expected, what came and what to do.

    The command line prints it without a traceback and exits with code 2.
    """


class Stopped(KeyboardInterrupt):
    """A signal stopped a run after it saved; the command line prints the message and exits with 128 + the signal."""

    def __init__(self, message: str, signal: int) -> None:
        super().__init__(message)
        self.signal = signal
