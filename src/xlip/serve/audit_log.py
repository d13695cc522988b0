"""One line for each prediction: when, for whom, by which weights, of which input. Never what was in it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from xlip.files import writing
from xlip.serve.problems import RequestError


class AuditLog:
    """Lines of JSON, each appended by a single write: a process that is killed leaves whole lines."""

    def __init__(self, path: str) -> None:
        """Raises:
        XLIPError: the file cannot be written.
        """
        self._file = -1
        if path:
            with writing(Path(path), "choose another --audit"):
                self._file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
                self._end_broken_line()

    def _end_broken_line(self) -> None:
        """A line that a power cut left unfinished does not run into the next one."""
        size = os.lseek(self._file, 0, os.SEEK_END)
        if size and os.pread(self._file, 1, size - 1) != b"\n":
            os.write(self._file, b"\n")

    def prediction(self, *, route: str, key: str, request: str, input_hash: str, model: Mapping[str, str]) -> None:
        """Write one line; called before the answer goes out.

        Raises:
            RequestError: it cannot be written: then there is no answer either.
        """
        line: dict[str, Any] = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "event": "prediction",
            "route": route,
            "key": key,
            "request": request,
            "input": f"sha256:{input_hash}",
            **model,
        }
        try:
            data = (json.dumps(line) + "\n").encode()
            if os.write(self._file if self._file >= 0 else sys.stderr.fileno(), data) < len(data):
                raise OSError("disk full")
        except OSError:
            raise RequestError("no-audit", "the audit log cannot be written; the operator must make room") from None

    def close(self) -> None:
        """Close the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
