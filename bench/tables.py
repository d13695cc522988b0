"""How long a table of a million rows takes to read, and how much memory: docs/data/data_tables.json.

In a process of its own: `xlip.tables.read_rows` alone, and the source `csv` (which reads the table more than once)
without its images. CPU seconds stand beside wall seconds, since the machine may be busy. `--rows` makes it quick.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from facts import this_run

COLUMNS = "path,report,patient,split,sex,age,Mass,Edema,Pleural Effusion,Pneumonia"
WORDS = (
    "the",
    "lungs",
    "are",
    "clear",
    "no",
    "pleural",
    "effusion",
    "or",
    "pneumothorax",
    "heart",
    "size",
    "is",
    "normal",
    "in",
    "appearance",
)


def write_table(path: Path, rows: int) -> None:
    """Rows with a quoted report of 30 words and a comma, some 270 bytes each."""
    rng = random.Random(0)
    with path.open("w", encoding="utf-8") as stream:
        stream.write(COLUMNS + "\n")
        for number in range(rows):
            text = " ".join(rng.choices(WORDS, k=30))
            stream.write(f'img/{number:07}.png,"{text}, {text[:40]}.",{number // 3},train,F,{number % 90},1,0,,-1\n')


def read(path: Path) -> int:
    """Rows alone."""
    from xlip.tables.read import read_rows
    from xlip.tables.row import Row

    return sum(isinstance(row, Row) for row in read_rows(path, ("path", "report", "patient")))


def source(path: Path) -> int:
    """Studies of the source `csv`, as texts."""
    from xlip.sources.csv import studies
    from xlip.sources.source import Candidate

    columns = {"report_column": "report", "patient_column": "patient", "split_column": "split", "age_column": "age"}
    return sum(isinstance(row, Candidate) for row in studies(path, **columns))


def measured(what: str, path: Path) -> dict[str, Any]:
    """Time and peak memory of this process."""
    wall, cpu = time.perf_counter(), time.process_time()
    rows = {"read": read, "source": source}[what](path)
    return {
        "rows": rows,
        "wall_s": round(time.perf_counter() - wall, 1),
        "cpu_s": round(time.process_time() - cpu, 1),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "load": round(os.getloadavg()[0], 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--out", type=Path, help="JSON file to write, such as docs/data/data_tables.json")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        what, _, name = options.measure.partition(":")
        print(json.dumps(measured(what, Path(name))))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.csv"
        write_table(path, options.rows)
        result: dict[str, Any] = {"bytes": path.stat().st_size}
        for what in ("read", "source"):
            command = [sys.executable, __file__, "--measure", f"{what}:{path}"]
            result[what] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    result["made"] = this_run()
    text = json.dumps(result, indent=2) + "\n"
    if options.out:
        options.out.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
