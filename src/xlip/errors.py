"""The one exception that is meant for users' eyes."""

from __future__ import annotations


class XLIPError(ValueError):
    """A fault in the user's input: one line that says what was expected, what came and what to do.

    The command line prints it without a traceback and exits with code 2.
    """
