"""A tree of DICOM files joined with reports by each key and from each form; dates, ages and later pulls."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bad_archives import Archive, another_class, clean, edit, put_pixels
from structured import item, structured_report
from xlip.errors import XLIPError
from xlip.preparation.run import prepare
from xlip.sources.cells import years
from xlip.sources.dicom_tree import studies
from xlip.sources.joining import CONFLICTS
from xlip.sources.pseudonyms import Private, Pseudonyms
from xlip.sources.radiograph import day_of
from xlip.sources.source import Candidate, Dropped, Noticed
from xlip.study.parquet import read_studies
from xlip.study.record import Study

KEY = "6b" * 32


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    (tmp_path / "key").write_text(KEY)
    return clean(tmp_path, exams=3)


def read(archive: Archive, **options: Any) -> tuple[list[Study], list[Dropped], list[Noticed]]:
    rows = list(studies(archive.root, Private(archive.root.parent / "key"), **{**archive.options, **options}))
    made = [row.complete(row.study) if row.complete else row.study for row in rows if isinstance(row, Candidate)]
    drops = [row for row in rows if isinstance(row, Dropped) and not row.reason.startswith("view is lateral")]
    return made, drops, [row for row in rows if isinstance(row, Noticed)]


def as_csv(archive: Archive) -> Path:
    return archive.table


def as_semicolons(archive: Archive) -> Path:
    rows, archive.delimiter, archive.encoding = archive.rows(), ";", "cp1252"
    archive.write([{**row, "ReportText": row["ReportText"] + " Größe ä."} for row in rows])
    return archive.table


def as_excel(archive: Archive) -> Path:
    from openpyxl import Workbook

    book = Workbook()
    rows = archive.rows()
    assert book.active is not None
    for cells in (list(rows[0]), *(list(row.values()) for row in rows)):
        book.active.append(cells)
    book.save(archive.root.parent / "t.xlsx")
    return archive.root.parent / "t.xlsx"


def as_parquet(archive: Archive) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pylist(archive.rows()), archive.root.parent / "t.parquet")
    return archive.root.parent / "t.parquet"


def as_json_lines(archive: Archive) -> Path:
    file = archive.root.parent / "t.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in archive.rows()), "utf-8")
    return file


def as_other_columns(archive: Archive) -> Path:
    rows = archive.rows()
    archive.write([{"Anforderungsnummer": row["AccessionNumber"], "Befund": row["ReportText"]} for row in rows])
    return archive.table


def as_text_files(archive: Archive) -> Path:
    folder = archive.root.parent / "texts"
    (folder / "2019").mkdir(parents=True)
    for row, encoding in zip(archive.rows(), ("utf-8-sig", "utf-16", "cp1252"), strict=True):
        text = row["ReportText"] + " Größe."
        (folder / "2019" / f"{row['AccessionNumber']}.txt").write_bytes(text.encode(encoding))
    return folder


def as_structured_reports(archive: Archive) -> str:
    for exam in archive.exams:
        parts = [item("TEXT", "", TextValue=exam.report)]
        file = archive.root / f"sr{exam.number}"
        known = {"AccessionNumber": exam.accession, "PatientID": exam.person[1], "StudyInstanceUID": exam.study_uid}
        structured_report(file, *parts, **known, PatientName=exam.person[0])
    return ""


FORMS: tuple[Callable[[Archive], Path | str], ...] = (
    *(as_csv, as_semicolons, as_excel, as_parquet, as_json_lines, as_other_columns, as_text_files),
    as_structured_reports,
)


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
def test_reports_of_every_form_reach_their_image_without_names(
    form: Callable[[Archive], Path | str], archive: Archive
) -> None:
    made, drops, _ = read(archive, reports=str(form(archive)))
    assert not drops
    assert len(made) == 3
    for number, study in enumerate(sorted(made, key=lambda study: (study.report or "").partition("Code ")[2])):
        assert f"Code K{number}." in (study.report or "")
        staff = ("Pfannenstiel", "Adelgunde")  # only the rules of `prepare` find those, in a table without their names
        text = (study.report or "").lower()
        assert not [word for word in archive.secrets if word.lower() in text and word not in staff]


@pytest.mark.parametrize("join", ["accession", "study_uid", "patient+date"])
def test_each_key_joins_table_and_tree(join: str, archive: Archive) -> None:
    made, drops, notes = read(archive, join=join)
    assert (len(made), drops, notes) == (3, [], [])
    assert all(study.report for study in made)


@pytest.mark.parametrize("written", ["%d.%m.%Y", "%Y%m%d", "%Y-%m-%d 10:30:00", "%m/%d/%Y"])
def test_days_join_however_they_are_written(written: str, archive: Archive) -> None:
    rows = archive.rows()
    for row in rows:
        row["StudyDate"] = date.fromisoformat(row["StudyDate"]).strftime(written)
    archive.write(rows)
    order = "mdy" if "/" in written else ""
    made, drops, _ = read(archive, join="patient+date", date_order=order)
    assert not drops
    assert all(study.report for study in made)


def test_a_day_that_may_be_a_month_is_not_guessed(archive: Archive) -> None:
    assert day_of("03/04/2020") is None
    rows = archive.rows()
    rows[0]["StudyDate"] = "03/04/2020"
    archive.write(rows)
    _, drops, _ = read(archive, join="patient+date")
    assert [(drop.row, "--date_order" in drop.reason) for drop in drops] == [("reports.csv:2", True)]


def test_two_studies_of_a_patient_on_one_day_get_no_report(archive: Archive) -> None:
    first, second = archive.exams[0], archive.exams[1]
    name, mrn, born, sex = first.person
    edit(second.files[0], PatientID=mrn, PatientName=name, PatientBirthDate=born, PatientSex=sex, StudyDate=first.date)
    made, drops, notes = read(archive, join="patient+date")
    kind = "two studies of a patient on one day"
    assert sum(note.reason.startswith(kind) for note in notes) == 2
    assert sum(study.report is None for study in made) == 2
    assert {drop.reason.partition(": ")[0] for drop in drops} <= set(CONFLICTS)


def test_dates_are_a_year_or_moved_alike_for_a_patient_or_not_there(archive: Archive) -> None:
    first, second = archive.exams[0], archive.exams[1]
    edit(first.files[0], StudyDate="20200131")
    edit(second.files[0], StudyDate="20200302", PatientID=first.person[1], PatientName=first.person[0])
    assert sum("year:2020" in study.tags for study in read(archive, reports="")[0]) == 2
    moved = [tag for study in read(archive, reports="", dates="shifted")[0] for tag in study.tags if "date:" in tag]
    days = [date.fromisoformat(tag.partition(":")[2]) for tag in moved]
    assert 31 in {abs((one - other).days) for one in days for other in days}
    assert all(day < date(2020, 3, 2) for day in days)
    assert not [tag for study in read(archive, reports="", dates="none")[0] for tag in study.tags if "20" in tag[:8]]


def test_a_patient_that_the_table_names_otherwise_gets_no_report(archive: Archive) -> None:
    rows = archive.rows()
    rows[0]["PatientID"] = "SOMEBODY1"
    archive.write(rows)
    made, drops, notes = read(archive)
    assert [drop.reason.partition(":")[0] for drop in drops] == ["report of another patient"]
    assert sum(study.report is None for study in made) == 1
    assert [note.reason.partition(":")[0] for note in notes] == ["image without report"]


def test_the_same_key_joins_later_pulls_and_tables(archive: Archive, tmp_path: Path) -> None:
    """A table of one's own under the same key has the same patients; under no key, those of the table."""
    options = {"key": str(tmp_path / "key"), **archive.options}
    prepare("dicom", archive.root, tmp_path / "one", workers=0, options=options)
    columns = {"patient_column": "PatientID", "report_column": "ReportText", "id_column": "AccessionNumber"}
    keyed = {**columns, "key": str(tmp_path / "key"), "source": "dicom"}
    prepare("csv", archive.table, tmp_path / "two", workers=0, options=keyed)
    one, two = (list(read_studies(tmp_path / name)) for name in ("one", "two"))
    assert {study.patient_id for study in one} == {study.patient_id for study in two}
    written = "".join(map(str, two)) + "".join(
        file.read_text("utf-8", errors="ignore") for file in (tmp_path / "two").iterdir() if file.suffix != ".parquet"
    )
    assert not [word for word in archive.secrets if word.lower() in written.lower()]
    assert str(tmp_path) not in written
    with (tmp_path / "two.lookup.csv").open(encoding="utf-8", newline="") as stream:
        known = {row[2] for row in csv.reader(stream)}
    assert {exam.person[1] for exam in archive.exams} <= known
    prepare("csv", archive.table, tmp_path / "plain", workers=0, options=columns)
    assert {study.patient_id for study in read_studies(tmp_path / "plain")} == {
        f"csv/{exam.person[1]}" for exam in archive.exams
    }
    assert not (tmp_path / "plain.key").exists()


def test_ages_above_89_are_stored_as_90_and_go_from_the_text(archive: Archive, tmp_path: Path) -> None:
    exam = archive.exams[0]
    edit(exam.files[0], PatientAge="094Y")
    rows = archive.rows()
    rows[0]["ReportText"] = "FINDINGS: A 94-year-old woman; 97 Jahre; 93 mm. Clear lungs. Code K0."
    archive.write(rows)
    options = {"key": str(tmp_path / "key"), **archive.options}
    prepare("dicom", archive.root, tmp_path / "out", workers=0, options=options)
    (old,) = [study for study in read_studies(tmp_path / "out") if "Code K0" in (study.report or "")]
    assert old.age == 90
    assert "A [AGE]-year-old woman; [AGE] Jahre; 93 mm" in (old.report or "")
    assert "ages from 90 years on are stored as 90" in (tmp_path / "out" / "README.md").read_text("utf-8")
    prepare("dicom", archive.root, tmp_path / "plain", workers=0, options=options, deidentify=False)
    assert max(study.age or 0 for study in read_studies(tmp_path / "plain")) == 94
    assert years("094Y") == 94


def test_the_card_holds_no_path_and_the_share_without_sections(
    archive: Archive, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from xlip.cli import main

    rows = archive.rows()
    rows[0]["ReportText"] = "Nothing of note."
    archive.write(rows)
    words = ["prepare", "dicom", "--root", str(archive.root), "--out", str(tmp_path / "out"), "--workers", "0"]
    assert main([*words, "--reports", str(archive.table), "--key", str(tmp_path / "key")]) == 0
    said = "1 of 3 reports (33.3 %) have no section that was found"
    assert said in capsys.readouterr().out
    readme = (tmp_path / "out" / "README.md").read_text("utf-8")
    assert f"{said}." in readme
    stats = (tmp_path / "out" / "stats.json").read_text("utf-8")
    assert str(tmp_path) not in readme + stats


def test_errors_name_no_folder_of_an_archive_that_was_read(archive: Archive, tmp_path: Path) -> None:
    for file in archive.root.rglob("*.dcm"):
        file.write_bytes(b"no")
    with pytest.raises(XLIPError, match="expected DICOM radiographs, found none; 4 files") as caught:
        read(archive)
    assert str(tmp_path) not in str(caught.value)


def test_a_capture_is_kept_where_it_is_asked_for(archive: Archive) -> None:
    another_class(archive, "1.2.840.10008.5.1.4.1.1.7", "CR")
    assert len(read(archive)[0]) == 3
    made, _, notes = read(archive, captures="keep")
    assert len(made) == 4
    assert any(note.reason.startswith("several frontal images") for note in notes)


def test_a_missing_view_is_left_out_or_looked_at_or_kept(archive: Archive, tmp_path: Path) -> None:
    file = archive.exams[0].files[0]
    edit(file, ViewPosition=None, SeriesDescription=None)
    assert len(read(archive)[0]) == 2
    assert len(read(archive, views="all")[0]) == 4
    options = {"key": str(tmp_path / "key"), **archive.options, "views": "classify"}
    summary = prepare("dicom", archive.root, tmp_path / "out", workers=0, options=options)
    assert summary.kept == 3
    assert summary.noticed["view was classified as frontal"] == 1
    put_pixels(file, np.random.default_rng(0).integers(0, 4096, (72, 72)))
    assert prepare("dicom", archive.root, tmp_path / "noise", workers=0, options=options).kept == 2


def test_pseudonyms_of_the_tree_are_those_of_the_key(archive: Archive, tmp_path: Path) -> None:
    names = Pseudonyms(Private(tmp_path / "key"))
    made, _, _ = read(archive)
    assert {study.patient_id for study in made} == {
        f"dicom/{names.of('patient', exam.person[1])}" for exam in archive.exams
    }


def test_ids_of_two_issuers_stay_together_and_are_noticed(archive: Archive) -> None:
    """Apart, one person's films whose headers differ in this alone could stand in two splits."""
    for exam, issuer in zip(archive.exams, ("WEST", "EAST", ""), strict=True):
        for file in exam.files:
            edit(file, PatientID="77", IssuerOfPatientID=issuer)
    made, _, noticed = read(archive)
    assert len({study.patient_id for study in made}) == 1
    assert len([row for row in noticed if "several issuers" in row.reason]) >= len(made)
    for file in archive.exams[1].files:
        edit(file, IssuerOfPatientID="WEST")
    assert not [row for row in read(archive)[2] if "issuers" in row.reason]
