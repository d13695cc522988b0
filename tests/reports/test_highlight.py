"""Colour on a page and in a terminal: everything escaped, the text whole, every type and assertion told apart."""

from __future__ import annotations

import re
from html import unescape

from hypothesis import given
from hypothesis import strategies as st

from xlip.reports.highlight import COLOURS, MARKS, describe, to_html, to_rich
from xlip.study.record import ASSERTIONS, ENTITY_TYPES, Entity

SPAN = st.tuples(st.integers(-2, 30), st.integers(-2, 30), st.sampled_from(ENTITY_TYPES), st.sampled_from(ASSERTIONS))


@given(st.text(max_size=25), st.lists(SPAN, max_size=6))
def test_the_text_stays_whole_whatever_the_spans(text: str, spans: list[tuple[int, int, str, str]]) -> None:
    entities = [Entity(*span) for span in spans]
    plain = unescape(re.sub(r"<[^>]*>", "", to_html(text, entities)))
    assert plain == unescape(re.sub(r"<[^>]*>", "", to_html(text, [])))
    assert to_rich(text, entities).plain == to_rich(text, []).plain


def test_markup_in_a_report_is_escaped() -> None:
    text = '<script>alert("x")</script> effusion [bold]'
    start = text.index("effusion")
    html = to_html(text, [Entity(start, start + 8, "finding", "absent", "Effusion", side="left")])
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    assert 'title="finding, absent: Effusion, left">effusion</mark>' in html
    assert to_rich(text, []).plain == text


def test_a_hostile_kind_cannot_leave_its_attribute() -> None:
    html = to_html("effusion", [Entity(0, 8, "finding", "present", '"><script>')])
    assert "<script" not in html


def test_every_type_and_assertion_looks_different() -> None:
    assert set(COLOURS) == set(ENTITY_TYPES)
    assert set(MARKS) == set(ASSERTIONS)
    assert len(set(COLOURS.values())) == len(COLOURS)
    assert len(set(MARKS.values())) == len(MARKS)
    styles = {
        str(to_rich("mass", [Entity(0, 4, type_, assertion)]).spans[0].style)
        for type_ in ENTITY_TYPES
        for assertion in ASSERTIONS
    }
    assert len(styles) == len(ENTITY_TYPES) * len(ASSERTIONS)


def test_description_names_what_is_known() -> None:
    assert describe(Entity(0, 1, "location", "present")) == "location, present"
    assert describe(Entity(0, 1, "finding", "absent", "Mass", side="right")) == "finding, absent: Mass, right"
