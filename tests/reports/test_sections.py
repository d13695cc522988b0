from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from real_data import open_i_report, real_data
from xlip.errors import XLIPError
from xlip.reports.sections import SECTIONS, clean, compose_sections, sections
from xlip.sources.source import read_table


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("  Heart \n size\tnormal . ", "Heart size normal."),
        ("There is XXXX a ___ nodule.", "There is a nodule."),
        ("XXXX. ___, XXXX", None),
        ("the XXXXlungs and 4XXXXX", "the lungs and 4"),
        ("", None),
        (" \n", None),
        (None, None),
        (float("nan"), None),
    ],
)
def test_clean(text: object, expected: str | None) -> None:
    assert clean(text) == expected


@given(st.text(alphabet="aX_. ,\n1", max_size=40))
def test_clean_leaves_no_marks_and_is_idempotent(text: str) -> None:
    found = clean(text)
    if found is None:
        return
    assert "___" not in found
    assert "XXXX" not in found
    assert found == " ".join(found.split())
    assert clean(found) == found


def test_sections_are_joined_as_sentences_and_nothing_makes_no_report() -> None:
    assert compose_sections({"findings": "Clear lungs", "impression": "Normal."}) == "Clear lungs. Normal."
    assert compose_sections({"impression": "Normal"}) == "Normal."
    assert compose_sections({"findings": ""}) is None


def test_sections_on_lines_in_any_case() -> None:
    text = "Indication: cough\nTECHNIQUE: PA\n\nComparison:\nnone\nfindings:\nClear\nlungs.\nIMPRESSION: Normal."
    assert sections(text) == {
        "indication": "cough",
        "technique": "PA",
        "comparison": "none",
        "findings": "Clear lungs.",
        "impression": "Normal.",
    }


def test_sections_inside_a_line_need_capitals() -> None:
    assert sections("FINDINGS: Clear. IMPRESSION: Normal.") == {"findings": "Clear.", "impression": "Normal."}
    found = sections("No significant findings: clear.")
    assert set(found.values()) == {"No significant findings: clear."}
    assert set(found) == {"preamble", "last_paragraph"}


def test_sections_maps_synonyms_and_leaves_empty_ones_out() -> None:
    text = "EXAM OF TODAY\nCLINICAL HISTORY: fall\nREASON FOR EXAM: pain\nFINDINGS: ___\nCONCLUSION: Normal"
    expected = {"preamble": "EXAM OF TODAY", "history": "fall", "indication": "pain", "impression": "Normal"}
    assert sections(text) == expected


@given(st.text(max_size=60))
def test_sections_never_fail(text: str) -> None:
    assert all(body.strip() for body in sections(text).values())


def test_real_reports_hold_no_marks() -> None:
    table = real_data("iu_openi") / "indiana_reports.csv"
    composed = [open_i_report(row) for _, row in read_table(table)]
    assert len(composed) == 3851
    assert composed.count(None) == 25
    assert not any("XXXX" in report for report in composed if report)


MIMIC = """                                 FINAL REPORT
 EXAMINATION:  CHEST (PA AND LAT)

 INDICATION:  ___ year old man with cough  // pneumonia?

 COMPARISON:  ___.

 FINDINGS:

 Clear lungs.
 No effusion at 5:06 A.M.

 IMPRESSION:

 Normal.
"""


def test_a_report_of_the_common_form() -> None:
    assert sections(MIMIC) == {
        "examination": "CHEST (PA AND LAT)",
        "indication": "year old man with cough // pneumonia?",
        "findings": "Clear lungs. No effusion at 5:06 A.M.",
        "impression": "Normal.",
    }


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("REASON FOR EXAMINATION", "indication"),
        ("REASON FOR EXAM", "indication"),
        ("CLINICAL HISTORY", "history"),
        ("CLINICAL INFORMATION", "history"),
        ("TECHNIQUE", "technique"),
        ("COMPARISONS", "comparison"),
        ("FINDINGS AND IMPRESSION", "findings"),
        ("IMPRESSION AND FINDINGS", "impression"),
        ("CONCLUSION", "impression"),
        ("RECOMMENDATION(S)", "recommendation"),
        ("NOTIFICATION", "notification"),
        ("WET READ", "wet_read"),
        ("ADDENDUM", "addendum"),
        ("EXAM", "examination"),
        ("PORTABLE AP CHEST", "findings"),
        ("CHEST, PA AND LATERAL", "findings"),
        ("SOMETHING ELSE", "examination"),
    ],
)
def test_header_variants(header: str, name: str) -> None:
    assert sections(f" FINAL REPORT\n {header}:  Heart is big.\n")[name] == "Heart is big."


def test_an_exam_title_is_no_finding_where_findings_are_named() -> None:
    found = sections("CHEST, TWO VIEWS: today\nFINDINGS: Clear.")
    assert found == {"examination": "today", "findings": "Clear."}


def test_addenda_with_and_without_a_colon_are_joined() -> None:
    text = "IMPRESSION: Normal.\n ADDENDUM  after discussion\n A nodule.\n ADDENDUM: Seen again.\n"
    assert sections(text) == {"impression": "Normal.", "addendum": "A nodule. Seen again."}


def test_a_report_without_headers_has_a_last_paragraph() -> None:
    found = sections(" FINAL REPORT\n CHEST, ___\n\n COMPARISON: none\n\n Heart is big.\n")
    assert found["last_paragraph"] == "Heart is big."
    assert compose_sections(found) is None
    assert compose_sections(found, "findings|last_paragraph,impression") == "Heart is big."


@pytest.mark.parametrize(
    ("priority", "expected"),
    [
        ("findings,impression", "Clear. Normal."),
        ("impression", "Normal."),
        ("impression|findings", "Normal."),
        ("addendum|findings", "Clear."),
        ("history, findings", "Clear."),
        ("addendum", None),
    ],
)
def test_priority(priority: str, expected: str | None) -> None:
    assert compose_sections({"findings": "Clear", "impression": "Normal."}, priority) == expected


def test_an_unknown_section_is_refused() -> None:
    with pytest.raises(XLIPError, match="got 'body'"):
        compose_sections({}, "findings,body")


@given(st.text(max_size=80), st.sampled_from(["FINDINGS: ", "IMPRESSION:\n", "ADDENDUM\n", "X:"]))
def test_sections_have_known_names(text: str, header: str) -> None:
    assert set(sections(text + "\n" + header + text)) <= set(SECTIONS)
