"""`scores.csv`: the scores of an evaluation beside the truth, one row per case; all figures follow from it."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from xlip.errors import XLIPError
from xlip.files import whole_text
from xlip.results.result import Predictions

FILE_NAME = "scores.csv"
VALIDATION_NAME = "validation_scores.csv"
"""The same of the validation split, where there is one: thresholds and temperatures come from it."""
READING_NAMES = {name: f"scores-{name}.csv" for name in ("pos", "neg", "pnc", "no_x")}
"""The same by another reading of the prompts than the one in `scores.csv`, see `Result.readings`."""
LABEL, GROUP, CASE = "label:", "group:", "case:"
OF_CASE = {"any_finding": np.int8, "distance": np.float64}
"""Columns `case:NAME` that not every evaluation has, see `Predictions`."""
_ID_COLUMNS = ("study_id", "patient_id")
_STATES = {"1": 1, "0": 0, "": -1}


def write_scores(path: Path, predictions: Predictions) -> None:
    """Write predictions as CSV; whole or not at all.

    Columns: study_id, patient_id, the score of each kind, `label:KIND` (1, 0, empty for unknown and uncertain),
    `group:NAME` of each subgroup, and `case:any_finding`, `case:distance` where they are known. Scores are written with
    all their digits: read back, they are the same numbers, so no new ties arise.

    Raises:
        XLIPError: a score is not finite, or the arrays do not fit each other.
    """
    _check(path, predictions)
    kinds, groups = predictions.kinds, predictions.groups
    more = {"any_finding": predictions.any_finding, "distance": predictions.distances}
    own = {name: values.tolist() for name, values in more.items() if values is not None}
    with whole_text(path) as stream:
        writer = csv.writer(stream)
        named = [*(LABEL + kind for kind in kinds), *(GROUP + name for name in groups), *(CASE + name for name in own)]
        writer.writerow([*_ID_COLUMNS, *kinds, *named])
        for row, study_id in enumerate(predictions.study_ids):
            known = ["" if state < 0 else int(state) for state in predictions.labels[row]]
            values = [str(group[row]) for group in groups.values()]
            scores = predictions.scores[row].astype(np.float64).tolist()
            values += [repr(column[row]) for column in own.values()]
            writer.writerow([study_id, predictions.patients[row], *map(repr, scores), *known, *values])


def read_scores(path: Path) -> Predictions:
    """Predictions from a file of `write_scores`, ids as text.

    Raises:
        XLIPError: no such file, a missing or unknown column, no row, or a row with a missing cell, a label other than
            1, 0 or empty, or a score that is no finite number; the message names file, line and column.
    """
    if not path.is_file():
        raise XLIPError(f"{path}: no such file; expected the {FILE_NAME} of an evaluation")
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            reader = csv.reader(stream, strict=True)
            columns = _Columns.of(path, next(reader, []))
            rows = [_row(f"{path}:{reader.line_num}", columns, cells) for cells in reader if cells]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise XLIPError(f"{path}: expected a CSV file in UTF-8; {error}") from error
    if not rows:
        raise XLIPError(f"{path}: no row under the header; expected one per case")
    study_ids, patients, scores, labels, values, others = zip(*rows, strict=True)
    groups = zip(columns.groups, zip(*values, strict=True), strict=True)
    return Predictions(
        tuple(columns.kinds),
        study_ids,
        np.array(patients),
        np.array(labels, np.int8),
        np.array(scores, np.float64),
        {name: np.array(members) for name, members in groups},
        *(
            np.array([row[name] for row in others], form) if name in columns.own else None
            for name, form in OF_CASE.items()
        ),
    )


@dataclass(frozen=True)
class _Columns:
    """Where everything stands in a row."""

    count: int
    ids: tuple[int, ...]
    kinds: Mapping[str, int]
    labels: Mapping[str, int]
    groups: Mapping[str, int]
    own: Mapping[str, int]
    """Of `OF_CASE`."""

    @classmethod
    def of(cls, path: Path, header: Sequence[str]) -> _Columns:
        at = {name: index for index, name in enumerate(header)}
        if len(at) < len(header):
            twice = next(name for name in header if header.count(name) > 1)
            raise XLIPError(f"{path}:1: the column {twice!r} stands there twice")
        missing = [name for name in _ID_COLUMNS if name not in at]
        if missing:
            raise XLIPError(f"{path}:1: expected a column {missing[0]!r}; evaluate again with this version of xlip")
        labels = {name.removeprefix(LABEL): index for name, index in at.items() if name.startswith(LABEL)}
        groups = {name.removeprefix(GROUP): index for name, index in at.items() if name.startswith(GROUP)}
        rest = [name for name in header if name not in _ID_COLUMNS and not name.startswith((LABEL, GROUP, CASE))]
        if not labels or set(rest) != set(labels):
            odd = sorted(set(rest) ^ set(labels))
            found = f"{odd[0]!r} has only one of the two" if odd else "found none"
            raise XLIPError(f"{path}:1: expected for each kind a column KIND and a column {LABEL}KIND; {found}")
        kinds = {kind: at[kind] for kind in rest}
        own = {name.removeprefix(CASE): index for name, index in at.items() if name.startswith(CASE)}
        if odd := sorted(set(own) - set(OF_CASE)):
            raise XLIPError(f"{path}:1: expected of `{CASE}` columns {', '.join(OF_CASE)}; found {odd[0]!r}")
        ids = tuple(at[name] for name in _ID_COLUMNS)
        return cls(len(header), ids, kinds, {k: labels[k] for k in kinds}, groups, own)


def _row(
    where: str, columns: _Columns, cells: Sequence[str]
) -> tuple[str, str, tuple[float, ...], tuple[int, ...], tuple[str, ...], dict[str, float]]:
    """Study id, patient id, scores, labels, subgroup values and `OF_CASE` of one line."""
    if len(cells) != columns.count:
        raise XLIPError(f"{where}: expected {columns.count} cells as in the header, got {len(cells)}")
    study_id, patient_id = (cells[index] for index in columns.ids)
    scores = tuple(_score(where, kind, cells[index]) for kind, index in columns.kinds.items())
    labels = tuple(_state(where, kind, cells[index]) for kind, index in columns.labels.items())
    values = tuple(cells[index] for index in columns.groups.values())
    own = {name: _score(where, CASE + name, cells[index]) for name, index in columns.own.items()}
    return study_id, patient_id, scores, labels, values, own


def _score(where: str, kind: str, cell: str) -> float:
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise XLIPError(f"{where}: the score of {kind} is {cell!r}; expected a finite number")
    return value


def _state(where: str, kind: str, cell: str) -> int:
    if cell not in _STATES:
        raise XLIPError(f"{where}: {LABEL}{kind} is {cell!r}; expected 1, 0 or nothing for unknown")
    return _STATES[cell]


def _check(path: Path, predictions: Predictions) -> None:
    """Refuse what could not be read back."""
    count, kinds = len(predictions.study_ids), predictions.kinds
    shapes = {"scores": predictions.scores.shape, "labels": predictions.labels.shape}
    for name, shape in shapes.items():
        if shape != (count, len(kinds)):
            raise XLIPError(f"{path}: {name} of {count} cases and {len(kinds)} kinds expected, got the shape {shape}")
    columns = {"patients": predictions.patients, **predictions.groups}
    more = {"any_finding": predictions.any_finding, "distances": predictions.distances}
    columns |= {name: values for name, values in more.items() if values is not None}
    for name, values in columns.items():
        if len(values) != count:
            raise XLIPError(f"{path}: {name}: expected {count} values, one per case, got {len(values)}")
    for row, column in np.argwhere(~np.isfinite(predictions.scores))[:1]:
        case, value = predictions.study_ids[row], predictions.scores[row, column]
        raise XLIPError(f"{path}: the score of {kinds[column]} for {case} is {value}; expected a finite number")
