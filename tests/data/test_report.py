from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from real_data import real_data
from xlip.data.report import clean, compose, sections
from xlip.data.sources.base import read_table


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


def test_compose_joins_sentences_and_knows_what_is_empty() -> None:
    assert compose("Clear lungs", "Normal.") == "Clear lungs. Normal."
    assert compose("XXXX", "Normal") == "Normal."
    assert compose(None, "") is None


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
    composed = [compose(row["findings"], row["impression"]) for _, row in read_table(table)]
    assert len(composed) == 3851
    assert composed.count(None) == 25
    assert not any("XXXX" in report for report in composed if report)
