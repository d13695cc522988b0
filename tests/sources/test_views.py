"""The view of a radiograph in the words of tables and headers of five languages."""

from __future__ import annotations

import pytest

from xlip.images.header import Header
from xlip.sources.radiograph import projection_of
from xlip.sources.views import PROJECTIONS, agreed, of_orientation, projection, view_of

WORDS = {
    "PA": (
        *("PA", "pa", "P.A.", "p-a", "postero-anterior", "Posteroanterior", "POSTERO_ANTERIOR"),
        *("Thorax p.a.", "Chest PA", "Tórax póstero-anterior", "Rx tórax PA", "dorsoventral"),
        *("Thorax d.v.",),
    ),
    "AP": (
        *("AP", "A.P.", "antero-posterior", "anteroposterior", "AP Supine", "AP semi erect"),
        *("AP_horizontal", "portable", "Thorax liegend", "supino", "Bettaufnahme", "ventrodorsal"),
        *("Thorax au lit",),
    ),
    "FRONTAL": (
        *("frontal", "Frontal view", "face", "Thorax de face", "frente", "tórax frontal"),
    ),
    "LATERAL": (
        *("LL", "RL", "L", "LAT", "Lateral", "LEFT LATERAL", "Left lateral", "Rt lateral"),
        *("XTABLE LATERAL", "perfil", "Tórax perfil", "Thorax seitlich", "profil", "Thorax de profil"),
        *("laterale", "seitl. Lateralaufnahme"),
    ),
    "OTHER": (
        *("oblique", "LAO", "RPO", "decubitus", "left lateral decubitus", "Lordotic", "COSTAL", "ribs"),
        *("schräg",),
    ),
    "": (
        *("", "PA and lateral", "PA + LAT", "face et profil", "Thorax in 2 Ebenen", "dos proyecciones"),
        *("2 views", "PA y L", "PA/L", "AP & L", "PA, L", "p.a.+ll"),
        *("AP/lateral", "chest", "odd", "Anna", "landscape", "palm"),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("said", "text"), [(name, text) for name, texts in WORDS.items() for text in texts])
def test_words_for_views_of_five_languages(said: str, text: str) -> None:
    assert projection(text) == said
    assert projection(f"  {text.upper()} ") == said
    assert view_of(text) == (said if said in ("PA", "AP", "LATERAL") else "")


def test_several_texts_agree_as_exactly_as_any_says() -> None:
    assert agreed(["frontal", "PA", ""]) == "PA"
    assert agreed(["PA", "AP"]) == agreed(["PA", "lateral"]) == agreed(["", "x"]) == ""
    assert agreed(["LL", "Left lateral"]) == "LATERAL"


@pytest.mark.parametrize(
    ("orientation", "said"),
    [(r"L\F", "FRONTAL"), (r"R\F", "FRONTAL"), (r"A\F", "LATERAL"), (r"P\F", "LATERAL"), (r"P\L", ""), ("", "")],
)
def test_directions_in_the_patient_say_frontal_or_lateral(orientation: str, said: str) -> None:
    assert of_orientation(orientation) == said


@pytest.mark.parametrize(
    ("fields", "said", "doubt"),
    [
        ({"view_position": "PA"}, "PA", ""),
        ({"view_position": "LL", "descriptions": ("Thorax",)}, "LATERAL", ""),
        ({"descriptions": ("Tórax perfil", "Thorax in 2 Ebenen")}, "LATERAL", ""),
        ({"descriptions": ("", "Chest PA and lateral")}, "", "unknown"),
        ({"orientation": r"L\F", "descriptions": ("Chest PA",)}, "FRONTAL", ""),
        ({"view_code": "postero-anterior", "orientation": r"L\F"}, "PA", ""),
        ({"view_position": "PA", "descriptions": ("lateral",)}, "", "contradictory"),
        ({"view_position": "PA", "orientation": r"A\F"}, "", "contradictory"),
        ({}, "", "unknown"),
    ],
)
def test_what_is_said_of_the_image_goes_before_its_series_and_contradictions_are_said(
    fields: dict[str, object], said: str, doubt: str
) -> None:
    found, notice = projection_of(Header(**fields))  # type: ignore[arg-type]
    assert found == said
    assert bool(notice) == bool(doubt)
    assert doubt in notice
    assert said in (*PROJECTIONS, "")
