"""A result as a folder: `metrics.json`, `scores.csv` and the rows that could not be read."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from xlip.files import whole_folder
from xlip.results.result import Result
from xlip.results.scores_file import FILE_NAME, VALIDATION_NAME, write_scores


def metrics_json(result: Result) -> dict[str, Any]:
    """The content of `metrics.json`: the evaluator, its figures, and what makes them repeatable."""
    return {
        "evaluator": result.evaluator,
        **result.metrics,
        **result.identity,
        "seconds": round(result.seconds, 1),
    }


def write_folder(result: Result, folder: Path, tables: Mapping[str, Sequence[Sequence[object]]] | None = None) -> None:
    """Write a result; the folder appears whole or not at all.

    `scores.csv` (and `validation_scores.csv`) stand there for evaluators that classify. `tables` are further CSV files
    by name, their first row a header.
    """
    with whole_folder(folder) as partial:
        text = json.dumps(metrics_json(result), indent=2, allow_nan=False)
        (partial / "metrics.json").write_text(text + "\n", "utf-8")
        for name, predictions in ((FILE_NAME, result.predictions), (VALIDATION_NAME, result.validation)):
            if predictions is not None:
                write_scores(partial / name, predictions)
        write_dropped(partial, result.dropped)
        for name, rows in (tables or {}).items():
            with (partial / name).open("w", newline="", encoding="utf-8") as stream:
                csv.writer(stream).writerows(rows)


def write_dropped(folder: Path, dropped: Sequence[tuple[str, str]]) -> None:
    """`dropped.csv`: each row that could not be read, and why."""
    with (folder / "dropped.csv").open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([("row", "reason"), *dropped])
