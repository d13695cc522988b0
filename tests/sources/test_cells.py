from __future__ import annotations

import pytest

from xlip.sources.cells import identifier, is_rounded, is_spanish, said, several, sex_of, split_of, years


@pytest.mark.parametrize("text", ["", " ", "NaN", "nan", "None", "N/A", "n/a", "NULL", "null", "#N/A", "<NA>", "NaT"])
def test_words_for_nothing_are_nothing(text: str) -> None:
    assert (said(text), identifier(text)) == ("", "")


@pytest.mark.parametrize(
    ("text", "sex"),
    [
        *[(word, "F") for word in ("F", "female", "Mujer", "Femme", "weiblich", "W", "Femenino", "féminin", "Frau")],
        *[(word, "M") for word in ("M", "Male", "Hombre", "Homme", "männlich", "Masculino", "varón", "Mann", "H")],
        *[(word, "") for word in ("", "O", "unknown", "1", "2", "mixed", "f/m", "V")],
    ],
)
def test_words_for_the_sexes(text: str, sex: str) -> None:
    assert sex_of(text) == sex


def test_m_is_mujer_where_h_is_hombre() -> None:
    assert is_spanish({"M", "H", ""})
    assert (sex_of("M", spanish=True), sex_of("H", spanish=True)) == ("F", "M")
    assert not is_spanish({"M", "F"})
    assert not is_spanish({"M", "H", "F"})  # then M is male in some rows at least


@pytest.mark.parametrize(
    ("text", "age"),
    [
        *[
            ("57", 57.0),
            ("057Y", 57.0),
            ("57.5", 57.5),
            ("57,5", 57.5),
            ("45yrs", 45.0),
            ("18 months", 1.5),
            ("0", 0.0),
        ],
        *[("12 Jahre", 12.0), ("6 meses", 0.5), ("3 ans", 3.0), ("14 Tage", 0.04), ("90 years old", 90.0)],
        *[("026Y", 26.0), ("57-year-old", 57.0), ("411", None), ("1950-03-02", None), ("19500302", None)],
        *[("02.03.1950", None), ("1950", None), ("1/2/1950", None), ("", None), ("x", None), ("-3", None)],
        *[("40-50", None), ("5 J", None), ("130Y", None), ("1400M", 116.67)],
    ],
)
def test_ages_are_years_and_dates_are_none(text: str, age: float | None) -> None:
    assert years(text) == age


@pytest.mark.parametrize(
    ("text", "split"),
    [
        *[("Train", "train"), ("training", "train"), ("validate", "val"), ("valid", "val"), ("Validation", "val")],
        *[("TEST", "test"), ("dev", "val"), ("unused", "unused"), ("0", None), ("tset", None)],
    ],
)
def test_splits_by_their_usual_names(text: str, split: str | None) -> None:
    assert split_of(text) == split


@pytest.mark.parametrize(
    ("text", "id_"), [("123.0", "123"), (" 123 ", "123"), ("1.5", "1.5"), ("1.20", "1.20"), ("a.0", "a.0")]
)
def test_numbers_as_ids_lose_the_point_that_tables_gave_them(text: str, id_: str) -> None:
    assert identifier(text) == id_


def test_ids_that_a_spreadsheet_rounded_are_seen() -> None:
    assert is_rounded("1.23457E+12")
    assert is_rounded("1,23457E+12")
    assert not is_rounded("123E4")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("A|B", ["A", "B"]),
        ("A;B", ["A", "B"]),
        ("A, B", ["A", "B"]),
        ("['A', 'B']", ["A", "B"]),
        ('["A"]', ["A"]),
        ("A, x|B", ["A, x", "B"]),
        ("[broken", ["[broken"]),
        ("A", ["A"]),
        ("", []),
    ],
)
def test_a_cell_of_several_things(text: str, parts: list[str]) -> None:
    assert several(text) == parts
