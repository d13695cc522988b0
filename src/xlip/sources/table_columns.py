"""The columns of a table of one's own, and what a row says of its patient beside labels and report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from xlip.sources.cells import identifier, is_rounded, said, sex_of, split_of, years
from xlip.sources.shown import shown
from xlip.sources.views import projection, view_of


@dataclass(frozen=True)
class Columns:
    """What each column of a table means; '' where there is none."""

    image: str = ""
    report: str = ""
    patient: str = ""
    id: str = ""
    split: str = ""
    view: str = ""
    sex: str = ""
    age: str = ""
    labels: str = ""
    state: str = ""

    def named(self) -> tuple[str, ...]:
        """The columns that there must be."""
        return tuple(name for name in vars(self).values() if name)


class Whole(Protocol):
    """What is known of the whole table."""

    @property
    def spanish(self) -> bool:
        """Whether M is mujer."""
        ...

    @property
    def unclear_sexes(self) -> bool:
        """Whether nobody can tell what M and V mean."""
        ...

    @property
    def unclear_patients(self) -> frozenset[int]:
        """Hashes of ids that differ in capitals or leading zeros only."""
        ...


def plain_id(patient: str) -> str:
    """An id without capitals and leading zeros, by which two spellings of one may be told."""
    return patient.casefold().lstrip("0")


def header_fields(cells: Mapping[str, str], columns: Columns, survey: Whole, notes: list[str]) -> dict[str, Any] | str:
    """Split, view, sex and age of a row; a reason to drop it where its ids or its split cannot be trusted."""
    written = said(cells.get(columns.patient))
    for column, text in ((columns.patient, written), (columns.id, said(cells.get(columns.id)))):
        if text and is_rounded(text):
            return f"column {column}: a long number that a spreadsheet rounded; export it as text"
    patient = identifier(written)
    if columns.patient and not patient:
        notes.append("no patient id: the row counts as a patient of its own")
    elif columns.patient and hash(plain_id(patient)) in survey.unclear_patients:
        notes.append("a patient id differs from another in capitals or zeros: they count as two patients")
    if columns.patient and patient != written:
        how = "an id holds marks, or characters that nobody sees: it is read without"
        point = "a whole number as an id was written with a point: it is read without"
        notes += [point if "." in written and patient.isdigit() else how] if patient else []
    split = said(cells.get(columns.split))
    if split and split_of(split) is None:
        return f"column {columns.split}: expected train, val or test, got {shown(split)}; rename it, or use --holdout"
    if columns.split and not split:
        notes.append("no split: the row counts as train")
    view, sex, age = (said(cells.get(name)) for name in (columns.view, columns.sex, columns.age))
    made = {
        "split": split_of(split) or "train",
        "view": view_of(view),
        "sex": "" if survey.unclear_sexes else sex_of(sex, spanish=survey.spanish),
        "age": years(age) if age else None,
    }
    if view and not made["view"] and (seen := projection(view)) != "FRONTAL":
        notes.append(f"a view is {'neither frontal nor lateral' if seen else 'not understood'}: it is left open")
    if sex and not made["sex"] and sex.lower() not in ("unknown", "u", "o", "other", "d"):
        either = ": M and V may be mujer and varón, or man and vrouw; write the words out"
        notes.append(f"a sex is not understood{either if survey.unclear_sexes else ': it is left open'}")
    if age and made["age"] is None:
        notes.append("an age is not understood: a date, or not between 0 and 120 years; it is left open")
    return made
