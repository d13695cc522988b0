"""Which films are of a chest, by the words of hospitals for other parts of the body."""

from __future__ import annotations

import pytest

from xlip.images.header import Header
from xlip.sources.radiograph import why_not

FILM = {"sop_class": "1.2.840.10008.5.1.4.1.1.1.1", "modality": "DX", "has_image": True}


@pytest.mark.parametrize(
    "part",
    [
        *("HAND", "LEFT KNEE", "KNEE_LT", "KNEES", "ABD", "ABDOMEN AP", "PELVIS AP", "LOWER LEG", "C-SPINE", "L SPINE"),
        *("THORACIC SPINE", "T-SPINE", "Hüfte", "UP_EXM", "Rodilla izq.", "RT FOOT"),
    ],
)
def test_other_parts_of_the_body_are_no_chest(part: str) -> None:
    assert why_not(Header(**FILM, body_part=part), "1", captures=False).startswith("not a chest radiograph")


@pytest.mark.parametrize(
    "part", ["", "CHEST", "THORAX", "Tórax", "CHEST_TO_PELVIS", "RIBS", "CHEST ABDOMEN", "LUNG", "X"]
)
def test_the_chest_and_what_nobody_says_stay(part: str) -> None:
    assert why_not(Header(**FILM, body_part=part), "1", captures=False) == ""


@pytest.mark.parametrize(
    ("descriptions", "kept"),
    [
        (("Knee AP", "", "", "XR KNEE LEFT"), False),
        (("", "", "", "RX Rodilla"), False),
        (("AP", "", "", "Abdomen liegend"), False),
        (("PA", "", "Chest and abdomen", ""), True),
        (("Thorax, main view", "", "", ""), True),
        (("PA, arm down", "", "", ""), True),
        (("portable", "", "", ""), True),
        ((), True),
    ],
)
def test_a_description_tells_where_the_body_part_is_empty(descriptions: tuple[str, ...], kept: bool) -> None:
    said = why_not(Header(**FILM, descriptions=descriptions), "1", captures=False)
    assert said == ("" if kept else "not a chest radiograph: by the description in its header, which names another "
                    "part of the body")  # fmt: skip
    assert why_not(Header(**FILM, descriptions=descriptions, body_part="CHEST"), "1", captures=False) == ""
