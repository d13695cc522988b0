"""`--json`: what a command prints, as one JSON object on stdout; its lines go to stderr as they come.

`{"command": ..., "code": ..., "tables": [{"columns": [...], "rows": [[...]]}], "lines": [...]}`. Cells that are numbers
are numbers, empty ones null.
"""

from __future__ import annotations

import io
import json
import math
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import redirect_stdout
from typing import Any

from xlip.errors import XLIPError

FLAG = "--json"
ENDLESS = ("serve", "pacs listen")
"""Commands that print as long as they run: an object at their end would come too late to be of use."""
NUMBER = re.compile(r"[+-]?(0|[1-9]\d*)(\.\d+)?(e[+-]?\d+)?", re.I)
_current: list[_Recorder] = []


class _Recorder(io.TextIOBase):
    """Stands in for stdout: keeps whole lines, and shows them on stderr."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.tables: list[dict[str, Any]] = []
        self._rest = ""

    def write(self, text: str) -> int:
        sys.stderr.write(text)
        *whole, self._rest = (self._rest + text).split("\n")
        self.lines += whole
        return len(text)

    def flush(self) -> None:
        sys.stderr.flush()


def record_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> bool:
    """Keep a table for the object; False where none was asked for, and the caller prints as usual."""
    if not _current:
        return False
    made = [[_cell(value) for value in row] for row in rows]
    _current[-1].tables.append({"columns": list(columns), "rows": made})
    return True


def _cell(value: object) -> object:
    value = value.item() if hasattr(value, "item") else value  # of a NumPy number
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if not isinstance(value, str):
        return value
    if not value:
        return None
    if NUMBER.fullmatch(value):
        return float(value) if set(value) & set(".eE") else int(value)
    return value


def run_as_json(name: str, run: Callable[[], int]) -> int:
    """Run a command and print the object. A fault is printed as it is without `--json`, and there is no object then.

    Raises:
        XLIPError: a command that runs until it is stopped.
    """
    if name in ENDLESS:
        raise XLIPError(f"{name}: takes no {FLAG}, for it runs until it is stopped; leave it out")
    recorder = _Recorder()
    _current.append(recorder)
    try:
        with redirect_stdout(recorder):
            code = run()
    finally:
        _current.pop()
    said = {"command": name, "code": code, "tables": recorder.tables, "lines": recorder.lines}
    print(json.dumps(said, indent=1, allow_nan=False))
    return code
