"""Known names and numbers go from a text wherever they stand; what only looks like one stays."""

from __future__ import annotations

import pytest

from xlip.sources.identifiers import people_columns, without_identifiers
from xlip.sources.shown import shown


@pytest.mark.parametrize(
    ("text", "known", "wanted"),
    [
        ("Seen with MÜLLER, anna.", ("Müller^Anna",), "Seen with [NAME], [NAME]."),
        ("Mueller and Muller are one.", ("Müller^Anna",), "[NAME] and [NAME] are one."),
        ("Okonkwo was here.", ("Okonkwo-Thistlewood^Ngozi",), "[NAME] was here."),
        ("No. MRN7731904/2 of mrn7731904", ("MRN7731904",), "No. [ID]/2 of [ID]"),
        ("A 5 mm nodule, 12 of them.", ("5", "12"), "A 5 mm nodule, 12 of them."),
        ("Small mass in the left lung.", ("Mass^Small",), "Small mass in the left lung."),
        ("No mass. Discussed with Xaver Mass.", ("Mass^Xaver",), "No mass. Discussed with [NAME] [NAME]."),
        ("The Quilling sign.", ("Quill^Q",), "The Quilling sign."),
        ("De la Cruz, de la misma fecha", ("de la Cruz^Rosaura",), "De la [NAME], de la misma fecha"),
        ("Nothing known.", ("", "^^", "Dr"), "Nothing known."),
    ],
)
def test_known_names_and_numbers_are_replaced(text: str, known: tuple[str, ...], wanted: str) -> None:
    assert without_identifiers(text, known) == wanted


def test_columns_of_people_are_known_by_their_names() -> None:
    people = ("Patient Name", "Apellidos", "Nom", "ReferringPhysician", "Überweisender Arzt", "Radiologist", "Phone")
    others = ("file_name", "ImageName", "Report", "AccessionNumber", "path", "Pneumonia")
    assert people_columns((*people, *others)) == people
    assert people_columns(people, people) == ()


@pytest.mark.parametrize("cell", ["maybe", "0.7", "-2", "mild edema", "fold1", "inf", "x", "probable|no", "peut-être"])
def test_a_refused_cell_is_quoted_where_it_names_nobody(cell: str) -> None:
    assert shown(cell) == repr(cell)


@pytest.mark.parametrize(
    "cell", ["Wang", "Anna Müller", "MRN7731904", "7731904", "1952-03-17", "no Quillfeather", "ñandú"]
)
def test_of_a_cell_that_may_name_somebody_the_form_is_said(cell: str) -> None:
    said = shown(cell)
    assert not any(word in said for word in cell.split() if len(word) > 2 and word != "no")
    assert "not shown" in said
