"""What a long run over many films has found so far: one line for each, so that the next run goes on from there."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import IO, Any

from xlip.errors import XLIPError
from xlip.files import reading, writing


class Journal:
    """Records by their `film`, in a file of JSON lines whose first line says under which settings they were made.

    A run that is killed leaves at most half a line, which the next run cuts off.
    """

    def __init__(self, file: Path, settings: str) -> None:
        """Open, and read what is there.

        Raises:
            XLIPError: made under other settings, damaged, or not to be written.
        """
        self.file, self.records = file, dict[str, dict[str, Any]]()
        whole = self._whole_lines()
        with reading(file, "remove it to begin again"):
            head, *rows = [json.loads(line) for line in whole] or [{"settings": settings}]
            self.records = {str(row["film"]): row for row in rows}
            made = str(head["settings"])
        if made != settings:
            raise XLIPError(
                f"{file}: made with another model, other kinds, thresholds or another reference; choose another --out, "
                "or remove the folder to begin again"
            )
        with writing(file):
            file.parent.mkdir(parents=True, exist_ok=True)
            self._stream: IO[bytes] = file.open("ab")
            self._stream.truncate(sum(map(len, whole)))
        if not whole:
            self._write(head)

    def add(self, record: dict[str, Any]) -> None:
        """Keep a record; it is on the disk once `sync` returns."""
        self._write(record)
        self.records[str(record["film"])] = record

    def sync(self) -> None:
        """Return once everything added is on the disk."""
        with writing(self.file):
            self._stream.flush()
            os.fsync(self._stream.fileno())

    def close(self) -> None:
        """Sync, and release the file."""
        self.sync()
        self._stream.close()

    def _whole_lines(self) -> list[bytes]:
        if not self.file.exists():
            return []
        with reading(self.file, "remove it to begin again"):
            lines = self.file.read_bytes().splitlines(keepends=True)
        return lines if not lines or lines[-1].endswith(b"\n") else lines[:-1]

    def _write(self, row: dict[str, Any]) -> None:
        with writing(self.file):
            self._stream.write((json.dumps(row, allow_nan=False) + "\n").encode())
