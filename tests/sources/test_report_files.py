"""Rows of a table of reports: what stands for nothing is nothing, and an id is the same however it is written."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from xlip.sources.joining import Report
from xlip.sources.pseudonyms import Lookup, Pseudonyms
from xlip.sources.report_files import Columns, read_reports
from xlip.sources.source import Dropped

PSEUDONYMS = Pseudonyms(None)


def read(root: Path, rows: str) -> list[Report | Dropped]:
    (root / "t.csv").write_text("accession,patient,report\n" + rows, "utf-8")
    with Path(os.devnull).open("w") as stream:
        found = read_reports(root / "t.csv", "accession", Columns(), PSEUDONYMS, Lookup(stream))
        return [one for one in found if isinstance(one, Report | Dropped)]


@pytest.mark.parametrize("text", ["", "NaN", "NULL", "\\N", ".", "-", "#VALUE!", "None"])
def test_a_word_for_nothing_is_no_report(text: str, tmp_path: Path) -> None:
    (row,) = read(tmp_path, f"A1,p,{text}\n")
    assert row == Dropped("t.csv:2", "report without text: the cell is empty")


@pytest.mark.parametrize("written", ["123", "123.0", "123.00", "'123", '"=""123"""', " 123\u00a0", "\u200b123"])
def test_an_id_is_the_same_however_it_is_written(written: str, tmp_path: Path) -> None:
    (report,) = read(tmp_path, f"{written},{written},Clear.\n")
    assert isinstance(report, Report)
    assert (report.key, report.patient) == (PSEUDONYMS.of("accession", "123"), PSEUDONYMS.of("patient", "123"))


@pytest.mark.parametrize("written", ["NULL", "n/a", "-", "#REF!"])
def test_a_report_of_nobody_is_not_refused_for_its_patient(written: str, tmp_path: Path) -> None:
    (report,) = read(tmp_path, f"A1,{written},Clear.\n")
    assert isinstance(report, Report)
    assert report.patient == ""
    (unkeyed,) = read(tmp_path, f"{written},p,Clear.\n")
    assert isinstance(unkeyed, Report)
    assert unkeyed.key == ""  # 'report without a key' where images and reports are joined
