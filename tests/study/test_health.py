from __future__ import annotations

import pytest

from xlip.study.health import any_finding

A, P, U = 0, 1, 2


@pytest.mark.parametrize(
    ("labels", "state"),
    [
        ({"No_Finding": P}, 0),
        ({"No_Finding": A}, 1),
        ({"No_Finding": P, "Effusion": P}, 1),
        ({"No_Finding": P, "Support_Devices": P}, 0),
        ({"Effusion": A, "Mass": A}, 0),
        ({"Effusion": A, "Mass": U}, -1),
        ({"Effusion": A, "Mass": U, "Edema": P}, 1),
        ({"Effusion": A}, -1),
        ({"Effusion": A, "Support_Devices": A}, -1),
        ({"No_Finding": U, "Effusion": A, "Mass": A}, -1),
        ({}, -1),
    ],
)
def test_a_chest_is_healthy_only_where_the_labels_say_so(labels: dict[str, int], state: int) -> None:
    assert any_finding([labels]).tolist() == [state]
