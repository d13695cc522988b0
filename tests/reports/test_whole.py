"""A whole report from one cell or file: sections, language, identifiers; nothing lost in silence."""

from __future__ import annotations

import csv
import hashlib
import re
from collections import Counter
from pathlib import Path

import pytest
from invented_reports import invented_reports
from PIL import Image

from real_data import open_i_report, real_data
from xlip.notices import noticed
from xlip.preparation.run import prepare
from xlip.reports.deidentify import MARKS, deidentify, find_identifiers
from xlip.reports.entities import kinds_of, tag, tag_report
from xlip.reports.language import language_of
from xlip.reports.tagger.rules import rule_tagger
from xlip.reports.whole import read_whole_report
from xlip.study.parquet import read_studies
from xlip.study.record import Study

LANGUAGES = Path(__file__).with_name("languages.txt")
REPORT = (
    "\ufeffPatient: Kowalska, Anna  MRN: 00482913\nINDICATION: 54F, cough. Dr. B. Oyelaran.\n"
    "FINDINGS\nSmall left effusion since 03/14/2021.\nIMPRESSION:\n1. Effusion.\n\n"
    "Electronically signed by B. Oyelaran, MD"
)


def languages(half: str) -> list[tuple[str, str]]:
    rows = [line.split(" | ", 1) for line in LANGUAGES.read_text("utf-8").splitlines()]
    chosen = [(language, text) for language, text in rows if _half(text) == half]
    assert len(chosen) > 40
    return chosen


def _half(text: str) -> str:
    return "dev" if hashlib.blake2b(text.encode(), digest_size=8).digest()[0] % 2 == 0 else "held"


@pytest.mark.parametrize("half", ["dev", "held"])
def test_languages_are_told_from_a_sentence(half: str) -> None:
    right = [language == (language_of(text) or "en") for language, text in languages(half)]
    assert sum(right) >= 0.95 * len(right)


@pytest.mark.parametrize("half", ["dev", "held"])
def test_a_language_without_a_lexicon_gives_no_kinds(half: str) -> None:
    wrong = [text for language, text in languages(half) if language not in ("en", "es") and kinds_of(text, tag(text))]
    assert wrong == []


def short_reports(half: str) -> list[tuple[str, str]]:
    rows = [line.split(" | ", 1) for line in LANGUAGES.with_name("languages_short.txt").read_text("utf-8").splitlines()]
    return [(language, text) for language, text in rows if _half(text) == half]


@pytest.mark.parametrize("half", ["dev", "held"])
def test_the_language_of_a_short_report_is_stored(half: str) -> None:
    """With headers and without; `und` where neither a list of words nor the lexicon knows a word."""
    rows, wrong = short_reports(half), []
    for language, text in rows:
        study = tag_report(read_whole_report(Study("a", "a", "csv", report=text)))
        if study.language != language:
            wrong.append((language, study.language, text))
        assert study.language in ("en", "es") or not study.report_kinds, text
    assert len(rows) > 50
    assert len(wrong) <= 0.05 * len(rows), wrong


@pytest.mark.parametrize(
    ("text", "language"),
    [("Hallazgos: Normal. Impresión: Normal.", "es"), ("Befund: normal.", "de"), ("Findings: Normal.", "en")],
)
def test_headers_tell_the_language_of_what_stands_below_them(text: str, language: str) -> None:
    study = tag_report(read_whole_report(Study("a", "a", "csv", report=text), "impression|findings"))
    assert study.report is not None
    assert (study.report.lower(), study.language) == ("normal.", language)


def test_spanish_is_read_as_spanish() -> None:
    assert kinds_of("No se observa neumotórax.", tag("No se observa neumotórax.")) == {"Pneumothorax": 0}


@pytest.mark.parametrize("half", ["development", "measured"])
def test_recall_of_identifiers_in_invented_reports(half: str) -> None:
    found, wanted = Counter[str](), Counter[str]()
    for report in invented_reports(half, 480):
        taken = {place for item in find_identifiers(report.text) for place in range(item.start, item.end)}
        for start, end, mark in report.spans:
            wanted[mark] += 1
            found[mark] += all(n in taken or report.text[n] in " .,-/" for n in range(start, end))
    assert {*wanted, "AGE"} == set(MARKS)  # ages are tested with the stored age, in test_dicom_tree
    for mark in MARKS:
        assert found[mark] >= (0.95 if mark == "NAME" else 0.98) * wanted[mark], mark


@pytest.mark.parametrize("half", ["development", "measured"])
def test_findings_of_invented_reports_are_not_touched(half: str) -> None:
    for report in invented_reports(half, 96):
        for item in find_identifiers(report.text):
            assert any(start < item.end and item.start < end for start, end, _ in report.spans), item


@pytest.mark.parametrize("name", ["Dr. B. Stone", "Dr. Stone", "Ms. Mary Young", "DR. STONE", "Dr. O'Neil-White"])
def test_a_surname_may_be_a_word_of_reports(name: str) -> None:
    assert not re.search("(?i)stone|young|neil|white", deidentify(f"Told {name} of it. THE LUNGS ARE CLEAR.")[0])


@pytest.mark.parametrize(
    "text",
    [
        "T7 wedge deformity; 3/4 of the left hemithorax is opacified.",
        "A 1.2 x 2.3 cm nodule, unchanged; level 1 may represent a node. 2 out of 3 views.",
        "ET tube 4 cm above the carina. Swan Ganz catheter. Kerley B lines. Hampton hump.",
        "S/P fall 3 days ago. No 2nd lesion. MS exacerbation. OA of the knees. Rt. lung clear. AP view.",
        "Right Lower Lobe Consolidation with Pleural Effusion (RLL).",
        "Zunehmende Verschattung im Rechten Unterlappen (Segment 6).",
        "Patient rotated. Patient Rotated To The Left.",
        "EFFUSION SINCE THE PRIOR STUDY. NO PNEUMOTHORAX. CARDIOTHORACIC RATIO 16.2/24.",
    ],
)
def test_findings_and_measures_are_no_identifiers(text: str) -> None:
    assert deidentify(text) == (text, Counter())


def test_no_finding_of_open_i_is_touched_and_all_is_english() -> None:
    with (real_data("iu_openi") / "indiana_reports.csv").open(encoding="utf-8", newline="") as stream:
        texts = [text for row in csv.DictReader(stream) if (text := open_i_report(row))]
    assert len(texts) == 3826
    assert {language_of(text) for text in texts} == {"en"}
    for text in texts:
        for item in find_identifiers(text):
            entities = rule_tagger("en").tag(text)
            assert not any(entity.start < item.end and item.start < entity.end for entity in entities)


def test_a_whole_report_is_cut_and_what_was_done_is_said() -> None:
    with noticed() as notices:
        study = read_whole_report(Study("a", "a", "csv", report=REPORT), "impression", deidentified=True)
    assert (study.report, study.language) == ("1. Effusion.", "en")
    assert study.sections["findings"] == "Small left effusion since [DATE]."
    assert notices == ["de-identified: 3 [NAME], 1 [DATE], 1 [ID]"]
    assert not re.search("Anna|Kowal|Oyel|0048", str(study))


@pytest.mark.parametrize(
    ("text", "report", "notice"),
    [
        ("The lungs are clear.", "The lungs are clear.", "no section found"),
        ("MRN: 12345. The lungs are clear.", "The lungs are clear.", "no section found"),
        ("INDICATION: cough", None, "none of the chosen sections"),
    ],
)
def test_a_report_without_the_wanted_sections_says_so(text: str, report: str | None, notice: str) -> None:
    with noticed() as notices:
        study = read_whole_report(Study("a", "a", "csv", report=text))
    assert study.report == report
    assert [item.startswith(notice) for item in notices] == [True]
    assert ("whole" in study.sections) == (report is not None)


@pytest.mark.parametrize("source", ["csv", "folder"])
def test_prepare_cuts_and_hides_by_default_in_ones_own_archive(source: str, tmp_path: Path) -> None:
    texts = [REPORT, "The lungs are clear.", "Kein Pneumothorax, kein Erguss.", "FINDINGS: Clear. IMPRESSION: Normal."]
    root = tmp_path / "in"
    root.mkdir()
    for number, text in enumerate(texts):
        Image.new("L", (8, 8), 30 * number + 20).save(root / f"{number}.png")
        if source == "folder":
            (root / f"{number}.txt").write_text(text, "utf-8")
    options = {}
    if source == "csv":
        with (root / "t.csv").open("w", encoding="utf-8", newline="") as stream:
            csv.writer(stream).writerows([("path", "report"), *((f"{n}.png", text) for n, text in enumerate(texts))])
        options = {"image_column": "path", "report_column": "report"}
    given = root / "t.csv" if source == "csv" else root
    summary = prepare(source, given, tmp_path / "out", workers=0, sections="impression", options=options)
    studies = list(read_studies(tmp_path / "out"))
    assert [study.report for study in studies] == ["1. Effusion.", texts[1], texts[2], "Normal."]
    assert [study.language for study in studies] == ["en", "en", "de", "en"]
    assert studies[2].report_kinds == {}
    assert summary.sections["whole"] == 2
    assert summary.noticed["no section found in the report; its whole text is kept"] == 2
    assert summary.noticed["de-identified"] == summary.noticed["language not known to the tagger"] == 1
    written = b"".join(file.read_bytes() for file in (tmp_path / "out").glob("*.csv"))
    assert b"Anna" not in written
    assert not re.search("Anna|Oyelaran|00482913", "".join(map(str, studies)))
    plain = prepare(source, given, tmp_path / "plain", workers=0, deidentify=False, options=options)
    assert "de-identified" not in plain.noticed
