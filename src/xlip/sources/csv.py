"""Any table of image paths, report texts and label columns: how users bring their own archive."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from xlip.errors import XLIPError
from xlip.reports.sections import clean
from xlip.sources.source import Candidate, Dropped, read_table, sex_of, years
from xlip.study.kinds import canonical, is_kind
from xlip.study.labels import ABSENT, PRESENT, UNCERTAIN, LabelState
from xlip.study.record import Study

STATES: dict[str, LabelState | None] = {
    **dict.fromkeys(("1", "1.0", "true", "present", "yes"), PRESENT),
    **dict.fromkeys(("0", "0.0", "false", "absent", "no"), ABSENT),
    **dict.fromkeys(("-1", "-1.0", "uncertain"), UNCERTAIN),
    **dict.fromkeys(("", "nan", "unknown", "none"), None),
}
"""What a label cell may say, in any case."""
VIEWS = {"PA": "PA", "AP": "AP", "LATERAL": "LATERAL", "LL": "LATERAL", "L": "LATERAL"}
"""What a view cell may say, in any case; anything else is unknown."""


def studies(
    root: Path,
    image_column: str = "",
    report_column: str = "",
    patient_column: str = "",
    id_column: str = "",
    split_column: str = "",
    view_column: str = "",
    sex_column: str = "",
    age_column: str = "",
    kinds: str = "",
    source: str = "csv",
) -> Iterator[Candidate | Dropped]:
    """Rows of a CSV file `root`; image paths are relative to its folder.

    Args:
        root: the CSV file.
        image_column: holds paths; empty: the table has no images.
        report_column: holds texts; empty: the table has no reports.
        patient_column: holds patient ids; without one every row is a patient of its own, and splits may leak.
        id_column: holds unique study ids; default: the line number.
        split_column: holds `train`, `val` or `test`; default: all `train`.
        view_column: holds PA, AP or LATERAL.
        sex_column: holds F or M, or a word that begins so.
        age_column: holds years (`57`, `057Y`), or another unit with its name (`18 months`).
        kinds: label columns, separated by commas; default: every column whose name is a kind or an alias of one.
        source: name stored with every study.
    """
    wanted = (image_column, report_column, patient_column, id_column, split_column, view_column, sex_column, age_column)
    required = tuple(name for name in (*wanted, *(k.strip() for k in kinds.split(","))) if name)
    if not image_column and not report_column:
        raise XLIPError(f"{root}: name at least one of image_column and report_column")
    for line, row in read_table(root, required):
        columns = label_columns(row, kinds)
        where = f"{root.name}:{line}"
        try:
            labels = parse_labels(row, columns)
        except XLIPError as error:
            yield Dropped(where, str(error))
            continue
        image, report = row.get(image_column, "").strip(), clean(row.get(report_column))
        file = root.parent / image if image else None
        id_ = row.get(id_column) or f"{root.stem}:{line}"
        if file is None and report is None:
            yield Dropped(where, "neither an image path nor a report")
        elif file is not None and not file.is_file():
            yield Dropped(where, f"image file {image} not found")
        else:
            study = Study(
                study_id=f"{source}/{id_}",
                patient_id=f"{source}/{row.get(patient_column) or id_}",
                source=source,
                image_path=Path(image).as_posix() if image else "",
                report=report,
                labels=labels,
                split=row.get(split_column) or "train",
                **_header(row, view_column, sex_column, age_column),
            )
            yield Candidate(study, file)


def _header(row: dict[str, str], view: str, sex: str, age: str) -> dict[str, Any]:
    """What the named columns say of the patient and the picture."""
    return {
        "view": VIEWS.get(row.get(view, "").strip().upper(), ""),
        "sex": sex_of(row.get(sex, "")),
        "age": years(row.get(age, "")),
    }


def label_columns(row: dict[str, str], kinds: str) -> dict[str, str]:
    """Column -> kind, for the named columns, or for every column that names a kind.

    Raises:
        XLIPError: a named column is not a kind.
    """
    if kinds:
        return {name.strip(): canonical(name.strip()) for name in kinds.split(",") if name.strip()}
    return {name: canonical(name) for name in row if is_kind(name)}


def parse_labels(row: dict[str, str], columns: dict[str, str]) -> dict[str, int]:
    """Label states of a row; empty cells are left out (unknown).

    Raises:
        XLIPError: a cell says something else than `STATES` knows.
    """
    labels: dict[str, int] = {}
    for column, kind in columns.items():
        value = row[column].strip().lower()
        if value not in STATES:
            raise XLIPError(
                f"column {column}: expected 1 (present), 0 (absent), -1 (uncertain) or empty, got {row[column]!r}"
            )
        state = STATES[value]
        if state is not None:
            labels[kind] = state
    return labels
