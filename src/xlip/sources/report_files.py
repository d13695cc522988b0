"""The reports of an archive: rows of a table, or one text file for each accession, study, or patient and day."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from xlip.errors import XLIPError
from xlip.files import open_path
from xlip.reports.tag_inputs import decode_text
from xlip.sources.cells import identifier, said
from xlip.sources.identifiers import people_columns, plain_name
from xlip.sources.joining import Report
from xlip.sources.pseudonyms import Lookup, Pseudonyms
from xlip.sources.radiograph import day_of
from xlip.sources.source import Candidate, Dropped, Noticed, Row, read_table
from xlip.sources.tree import tree

NAMES = {
    "accession": "accession accessionnumber accessionno accessionid acc accnumber accno anforderungsnummer "
    "auftragsnummer untersuchungsnummer numerodeacceso numeroacceso numerodaccession numerodeacesso",
    "study_uid": "studyinstanceuid studyuid studyinstance uid suid",
    "patient": "patientid patient mrn subjectid subject pid patientnumber patientno medicalrecordnumber patientenid "
    "patientennummer patientenr nhc historiaclinica paciente idpaciente ipp numeropatient",
    "date": "studydate date examdate examinationdate studydatetime datum untersuchungsdatum fecha fechaestudio "
    "dateexamen dataexame",
    "text": "report reporttext text fulltext narrative radiologyreport reportbody befund befundtext bericht informe "
    "textoinforme rapport compterendu laudo texto",
    "findings": "findings finding",
    "impression": "impression impressions conclusion",
}
"""What a column is for -> the names that it goes by, in lower case without accents, spaces and signs."""
_TEXT_SUFFIXES = frozenset({".txt", ".text", ".rpt", ".md"})


@dataclass(frozen=True)
class Columns:
    """Names of the columns, where they are none of `NAMES`; and the order of days and months."""

    accession: str = ""
    study_uid: str = ""
    patient: str = ""
    date: str = ""
    text: str = ""
    date_order: str = ""
    """dmy or mdy, for days such as 03/04/2020."""


def key_of(join: str, pseudonyms: Pseudonyms, patient: str, accession: str, study_uid: str, day: str) -> str:
    """The pseudonym by which an image or a report is joined; '' where what it takes is not there.

    Args:
        join: one of `joining.JOINS`.
        pseudonyms: of the run.
        patient: pseudonym of the patient.
        accession: as given.
        study_uid: as given.
        day: YYYY-MM-DD.
    """
    if join == "accession":
        return pseudonyms.of("accession", accession)
    if join == "study_uid":
        return pseudonyms.of("study", study_uid)
    return pseudonyms.of("day", f"{patient} {day}") if patient and day else ""


def read_reports(
    path: Path, join: str, columns: Columns, pseudonyms: Pseudonyms, names: Lookup
) -> Iterator[Report | Row]:
    """Every report of a table or of a folder of text files; what cannot be used comes as `Dropped`.

    Raises:
        XLIPError: no such file, or a table that lacks a column.
    """
    if path.is_dir():
        yield from _text_files(path, join, pseudonyms, names)
        return
    found: dict[str, str] | None = None
    faults: list[Row] = []
    for line, row in read_table(path, faults=faults):
        if found is None:
            found = _columns(path, row, join, columns)
        yield _of_row(f"{path.name}:{line}", row, found, join, columns.date_order, pseudonyms)
    for fault in faults:
        if not isinstance(fault, Candidate):  # what follows the colon may show a cell, and with it a patient
            yield replace(fault, reason=fault.reason.partition(": ")[0])


def _of_row(
    where: str, row: Mapping[str, str], found: Mapping[str, str], join: str, order: str, pseudonyms: Pseudonyms
) -> Report | Dropped:
    cells = {name: said(row.get(column)) for name, column in found.items()}
    text = cells.get("text", "") or "\n".join(
        f"{name.upper()}: {cells[name]}" for name in ("findings", "impression") if cells.get(name)
    )
    if not text:
        return Dropped(where, "report without text: the cell is empty")
    patient = pseudonyms.of("patient", identifier(cells.get("patient")))
    day = day_of(cells.get("date", ""), order)
    if join == "patient+date" and cells.get("date") and day is None:
        return Dropped(where, "report without a key: its date is no day, or day and month may be swapped: --date_order")
    key = key_of(
        join,
        pseudonyms,
        patient,
        identifier(cells.get("accession")),
        cells.get("study_uid", ""),
        day.isoformat() if day else "",
    )
    people = [row[column] for column in people_columns(row, found.values())]
    numbers = [cells.get("patient", ""), cells.get("accession", "")]
    return Report(where, key, text, patient, tuple(filter(None, (*people, *numbers))))


def _columns(path: Path, row: Mapping[str, str], join: str, wanted: Columns) -> dict[str, str]:
    """What a column is for -> its name in this table.

    Raises:
        XLIPError: a column that is asked for, or that the join needs, is not there, or two may be meant.
    """
    found = {}
    for name, known in NAMES.items():
        asked = str(getattr(wanted, name, ""))
        if asked and asked not in row:
            raise XLIPError(f"{path}: no column {asked!r}; its columns are {', '.join(row)}")
        fitting = [column for column in row if plain_name(column) in known.split()]
        if len(fitting) > 1 and not asked and name in (*join.split("+"), "text"):
            raise XLIPError(f"{path}: columns {', '.join(fitting)} may all be the {name}; say which: {_option(name)}")
        if asked or fitting:
            found[name] = asked or fitting[0]
    for name in join.split("+"):
        if name not in found:
            raise XLIPError(f"{path}: no column of the {name}, for --join {join}; name it with {_option(name)}")
    if not {"text", "findings", "impression"} & found.keys():
        raise XLIPError(f"{path}: no column of the report's text; name it with {_option('text')}")
    return found


def _option(name: str) -> str:
    return f"--{'report' if name == 'text' else 'study' if name == 'study_uid' else name}_column"


def _text_files(folder: Path, join: str, pseudonyms: Pseudonyms, names: Lookup) -> Iterator[Report | Row]:
    for place in tree(folder):
        path = place.row if isinstance(place, Dropped) else place[0]
        name = path.rpartition("/")[2]
        stem, dot, suffix = name.rpartition(".")
        row = "report/" + pseudonyms.of("path", path)
        names.add("report", row, path)
        if isinstance(place, Dropped):
            yield Dropped(row, place.reason)
            continue
        if f".{suffix.lower()}" not in _TEXT_SUFFIXES or not dot:
            yield Dropped(row, "not a text file: expected one .txt file for each report")
            continue
        try:
            text, guess = decode_text(open_path(place[1]).read_bytes())
        except OSError as error:
            yield Dropped(row, f"cannot read the report ({error.strerror or type(error).__name__})")
            continue
        if guess:
            yield Noticed(row, f"encoding of the report guessed: {guess}")
        patient, _, day = stem.rpartition("_") if join == "patient+date" else ("", "", "")
        taken = day_of(day)
        hashed = pseudonyms.of("patient", patient)
        key = key_of(join, pseudonyms, hashed, stem, stem, taken.isoformat() if taken else "")
        yield (
            Report(row, key, text.strip(), hashed, (stem,))
            if text.strip()
            else Dropped(row, "report without text: empty file")
        )
