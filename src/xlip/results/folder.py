"""A result as a folder: `metrics.json`, `scores.csv` and the rows that could not be read; written and read."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from xlip import __version__
from xlip.errors import XLIPError
from xlip.files import check_target, reading, whole_folder, whole_text, write_json, writing
from xlip.metrics.auroc import auroc
from xlip.results.classification import classification_figures
from xlip.results.figures import FIGURES, Classification
from xlip.results.result import Predictions, Result
from xlip.results.scores_file import FILE_NAME, READING_NAMES, VALIDATION_NAME, read_scores, write_scores
from xlip.results.typed import AGAIN, checked

METRICS_NAME, DROPPED_NAME = "metrics.json", "dropped.csv"
NAMES = frozenset(
    {METRICS_NAME, FILE_NAME, VALIDATION_NAME, DROPPED_NAME, "ranking.csv", "comparison.json"}
    | {"report.html", "per_kind.csv", "README.md", *READING_NAMES.values()}
)
"""What may stand in the folder of a result; another result replaces it."""
IDENTITY = ("checkpoint", "split", "prompts", "preprocessing")
"""What a number is printed with, in this order; all but the prompts must be there (docs/protocols.md)."""
SCHEMA_VERSION = 2
"""Of `metrics.json`: 2 has the cohort, the decisions and abstention; 1 did not name itself. Raise it where an older
xlip would misread a new file."""
TOLERANCE = 1e-6
"""Between an AUROC of metrics.json and the one of scores.csv: more, and the files are not of one evaluation."""


def metrics_json(result: Result) -> dict[str, Any]:
    """The content of `metrics.json`: the evaluator, its figures, and what makes them repeatable."""
    return {
        "schema_version": SCHEMA_VERSION,
        "xlip": result.version or __version__,
        "evaluator": result.evaluator,
        **result.figures.to_json(),
        **result.identity,
        "seconds": round(result.seconds, 1),
    }


def write_folder(result: Result, folder: Path, tables: Mapping[str, Sequence[Sequence[object]]] | None = None) -> None:
    """Write a result; the folder appears whole or not at all. `tables` are further CSV files by name.

    Raises:
        XLIPError: as `check_result_folder`, or the place cannot be written.
    """
    check_result_folder(folder)
    with writing(folder, "choose another --out"), whole_folder(folder) as partial:
        write_files(result, partial)
        for name, rows in (tables or {}).items():
            _write_table(partial / name, rows)


def check_result_folder(folder: Path) -> None:
    """Refuse a place that a result must not take: it would replace what is there. To be called before the work.

    Raises:
        XLIPError: a file is there, a folder with anything else than an earlier result, or no right to write.
    """
    check_target(folder, folder=True)
    others = sorted(one.name for one in folder.iterdir() if one.name not in NAMES) if folder.is_dir() else []
    if others:
        raise XLIPError(
            f"{folder}: holds something else than an evaluation ({others[0]}), which would go; choose another --out"
        )


def write_files(result: Result, folder: Path) -> None:
    """The files of a result into a folder that holds others too; each appears whole or not at all.

    `scores.csv` (and `validation_scores.csv`, `scores-READING.csv`) for evaluators that classify, `dropped.csv` with
    each row that could not be read and why, and last `metrics.json`.
    """
    readings = ((READING_NAMES[name], one) for name, one in result.readings.items())
    for name, predictions in ((FILE_NAME, result.predictions), (VALIDATION_NAME, result.validation), *readings):
        if predictions is not None:
            write_scores(folder / name, predictions)
    _write_table(folder / DROPPED_NAME, [("row", "reason"), *result.dropped])
    write_json(folder / METRICS_NAME, metrics_json(result))


def read_result(folder: Path) -> Result:
    """The result of a folder that an evaluation wrote, of this version or of an older one.

    Subgroups and long-tail means that an older version did not write are computed from `scores.csv`.

    Raises:
        XLIPError: no such folder or file, a file that does not hold what it should, or files of two evaluations; the
            message says what to do.
    """
    path = folder / METRICS_NAME
    if not path.is_file():
        raise XLIPError(f"{folder}: expected the folder of an evaluation, found no {METRICS_NAME} in it")
    try:
        data = json.loads(path.read_text("utf-8"), parse_constant=_refuse)
    except (OSError, ValueError) as error:
        raise XLIPError(f"{path}: expected JSON without NaN; {error}") from error
    result = result_of_json(data, str(path))
    if (folder / FILE_NAME).is_file() or result.kinds:
        result = _with_scores(result, folder)
    return result


def result_of_json(data: Any, where: str) -> Result:
    """The result that `metrics_json` made, without scores.

    Raises:
        XLIPError: a field is missing, unknown, of another type or out of range; the message names it.
    """
    if not isinstance(data, dict):
        raise XLIPError(f"{where}: expected an object with the figures of an evaluation, got {str(data)[:50]}")
    _check_version(data, where)
    evaluator = data.get("evaluator", "zeroshot")  # `xlip zeroshot` did not name itself before version 0.2
    if not isinstance(evaluator, str) or evaluator not in FIGURES:
        raise XLIPError(f"{where}.evaluator: expected one of {', '.join(FIGURES)}; got {evaluator!r}; {AGAIN}")
    figures = {name: value for name, value in data.items() if name in FIGURES[evaluator].model_fields}
    rest = {name: value for name, value in data.items() if name not in (*figures, *ABOUT)}
    for name in IDENTITY:
        if name != "prompts" and name not in rest:
            raise XLIPError(f"{where}: the field {name!r} is missing; {AGAIN}")
    for name, value in rest.items():
        if not isinstance(value, str) or not value:
            raise XLIPError(f"{where}.{name}: expected a text, got {str(value)[:50]!r}; {AGAIN}")
    found = checked(FIGURES[evaluator], figures, where)
    if isinstance(found, Classification) and (odd := sorted(set(found.left_out) - set(found.per_kind))):
        raise XLIPError(f"{where}.left_out: {odd[0]!r} is not in per_kind; {AGAIN}")
    identity = {name: rest[name] for name in (*IDENTITY, *rest) if name in rest}
    version = str(data.get("xlip", ""))
    return Result(evaluator, identity, found, seconds=float(data.get("seconds", 0)), version=version)


ABOUT = ("schema_version", "xlip", "evaluator", "seconds")
"""Of the file, neither figures nor identity."""


def _check_version(data: Mapping[str, Any], where: str) -> None:
    version = data.get("schema_version", 1)
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise XLIPError(f"{where}.schema_version: expected a whole number from 1, got {version!r}; {AGAIN}")
    if version > SCHEMA_VERSION:
        raise XLIPError(
            f"{where}: schema version {version}, by xlip {data.get('xlip', '?')}; this is {__version__}, reading up "
            f"to {SCHEMA_VERSION}: update xlip, or {AGAIN}"
        )


def _with_scores(result: Result, folder: Path) -> Result:
    """The result with its scores, which must be those of its figures."""
    predictions, validation = read_scores(folder / FILE_NAME), folder / VALIDATION_NAME
    figures = result.figures
    if isinstance(figures, Classification) and result.kinds:
        _check_agreement(folder, figures, predictions)
        if figures.subgroups is None:
            now = classification_figures(predictions, Classification)
            figures = figures.model_copy(update={"subgroups": now.subgroups, "long_tail": now.long_tail})
    return Result(
        result.evaluator,
        result.identity,
        figures,
        predictions,
        read_scores(validation) if validation.is_file() else None,
        _read_dropped(folder / DROPPED_NAME),
        result.seconds,
        result.version,
        {name: read_scores(folder / file) for name, file in READING_NAMES.items() if (folder / file).is_file()},
    )


def _refuse(constant: str) -> None:
    raise ValueError(f"found {constant}")


def _check_agreement(folder: Path, figures: Classification, predictions: Predictions) -> None:
    if set(figures.per_kind) != set(predictions.kinds):
        odd = sorted(set(figures.per_kind) ^ set(predictions.kinds))[0]
        raise XLIPError(f"{folder}: {odd} stands in only one of {METRICS_NAME} and {FILE_NAME}; evaluate again")
    for index, kind in enumerate(predictions.kinds):
        said = figures.per_kind[kind].auroc
        found = auroc(predictions.labels[:, index], predictions.scores[:, index])[0]
        if said is not None and not abs(said - found) <= TOLERANCE:
            raise XLIPError(
                f"{folder}: the AUROC of {kind} is {said:.4f} in {METRICS_NAME} and {found:.4f} by {FILE_NAME}; "
                "the files are not of one evaluation, evaluate again"
            )


def _read_dropped(path: Path) -> tuple[tuple[str, str], ...]:
    if not path.is_file():
        return ()
    with reading(path, AGAIN), path.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.reader(stream))[1:]
    return tuple((row[0], row[1]) for row in rows if len(row) == 2)


def _write_table(path: Path, rows: Sequence[Sequence[object]]) -> None:
    with whole_text(path) as stream:
        csv.writer(stream).writerows(rows)
