"""What surrounds a command: streams that may be closed, a terminal of few characters, a folder that may be gone."""

from __future__ import annotations

import errno
import io
import os
import select
import sys
import warnings
from contextlib import suppress
from pathlib import Path

from xlip.errors import XLIPError
from xlip.files import meant_by

STREAMS = (("stdin", "r"), ("stdout", "w"), ("stderr", "w"))
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS)
UNSEEN = (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning)
"""Warnings that Python hides unless it is asked to show them."""
ADVICE = {
    errno.EMFILE: "allow more open files (ulimit -n)",
    errno.ENFILE: "allow more open files (ulimit -n)",
    errno.ENOMEM: "free memory, or take fewer --workers",
}
NO_MEMORY = ("out of memory", "can't allocate memory", "bad_alloc")
"""How libraries report that memory ran out, where Python would raise MemoryError."""


def make_usable() -> None:
    """Put the null device where a stream is closed, let no stream fail over a character, let no warning end a command.

    A closed stream's number would go to the next file that is opened, and what a library prints into that file.
    """
    for number, (name, mode) in enumerate(STREAMS):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # it gets the lowest number that is free
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if any(option.startswith("error") for option in sys.warnoptions):
        # PYTHONWARNINGS=error is meant for the user's own code; libraries of ours warn at their import.
        sys.warnoptions.clear()  # worker processes are started with them
        os.environ.pop("PYTHONWARNINGS", None)
        warnings.resetwarnings()
        for category in UNSEEN:
            warnings.simplefilter("ignore", category)


def check_folder() -> None:
    """Refuse a current folder that was deleted: libraries ask for it, and their errors name no file.

    Raises:
        XLIPError: it is gone.
    """
    try:
        os.getcwd()  # noqa: PTH109
    except OSError as error:
        raise XLIPError(
            f"the current folder cannot be used ({error.strerror}): it was deleted or moved; cd to one that exists"
        ) from error


def flush() -> None:
    """Write out what was printed: a fault of it is one of the command, not of Python's end."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()


def reader_gone() -> bool:
    """Whether what reads the output has closed it, as `head` does after its lines."""
    return any(_closed(stream) for stream in (sys.stdout, sys.stderr))


def silence() -> None:
    """Discard what is still to be printed, on streams that take no more."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            with suppress(OSError, ValueError):
                null = os.open(os.devnull, os.O_WRONLY)
                os.dup2(null, stream.fileno())
                os.close(null)


def _closed(stream: object) -> bool:
    try:
        number = stream.fileno()  # type: ignore[attr-defined]
    except (AttributeError, OSError, ValueError):
        return False
    if not hasattr(select, "poll"):
        return False
    asked = select.poll()
    asked.register(number, 0)
    return any(found & (select.POLLERR | select.POLLNVAL) for _, found in asked.poll(0))


def of_system(error: OSError) -> str:
    """What the operating system refused, and for which path: the one that the user named, not the partial file beside
    it.
    """
    if error.filename is None:
        reason = " ".join((error.strerror or str(error) or type(error).__name__).split())[:300]
        return f"the system refused: {reason}; {_advice(error, reason)}"
    path = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes | Path) else "a file"
    place = meant_by(path)
    if error.errno in ADVICE:
        return f"{place}: {error.strerror}; {ADVICE[error.errno]}"
    if place == path and error.errno not in FULL:
        return f"{path}: {error.strerror}; expected a file or folder that can be used; look at its place and rights"
    return f"{place}: cannot write ({error.strerror}); make room, or choose another place"


def _advice(error: OSError, reason: str) -> str:
    if "temporary directory" in reason:
        return "set TMPDIR to a folder that can be written"
    if "cache directory" in reason:
        return "set MPLCONFIGDIR and TMPDIR to folders that can be written"
    if error.errno in ADVICE:
        return ADVICE[error.errno]
    return "make room, or choose another place" if error.errno in FULL else "look at its disks, rights and network"


def lacks_memory(error: BaseException) -> bool:
    """Whether a library ran out of memory, on the machine or on its accelerator."""
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(words in str(error) for words in NO_MEMORY)
    )
