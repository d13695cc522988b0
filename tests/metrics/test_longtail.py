from __future__ import annotations

import numpy as np
import pytest

from xlip.metrics.kinds import MIN_CASES, KindMetrics
from xlip.metrics.longtail import BANDS, long_tail, positive_shares

KINDS = ("Effusion", "Edema", "Hernia", "Mass")


def measured(*areas: float, positives: int = 50) -> list[KindMetrics]:
    return [KindMetrics(area, area / 2, positives, 100, (0.0, 1.0)) for area in areas]


def test_kinds_fall_into_bands_by_how_often_they_are_seen() -> None:
    shares = {"Effusion": 0.11, "Edema": 0.1, "Hernia": 0.01, "Mass": 0.0099}
    bands = long_tail(KINDS, measured(0.9, 0.8, 0.6, 0.5), shares)
    assert tuple(bands) == BANDS
    assert [band.kinds for band in bands.values()] == [("Effusion",), ("Edema", "Hernia"), ("Mass",)]
    assert [band.macro_auroc for band in bands.values()] == pytest.approx([0.9, 0.7, 0.5])
    assert [band.macro_auprc for band in bands.values()] == pytest.approx([0.45, 0.35, 0.25])


def test_bounds_can_be_set_and_a_kind_never_seen_is_in_the_tail() -> None:
    bands = long_tail(KINDS, measured(0.9, 0.8, 0.6, 0.5), {"Effusion": 0.3, "Edema": 0.2}, head=0.25, tail=0.1)
    assert [band.kinds for band in bands.values()] == [("Effusion",), ("Edema",), ("Hernia", "Mass")]


def test_kinds_with_too_few_test_cases_stay_out_and_an_empty_band_has_no_mean() -> None:
    rows = [*measured(0.9), *measured(0.2, positives=MIN_CASES - 1)]
    bands = long_tail(KINDS[:2], rows, {"Effusion": 0.5, "Edema": 0.5})
    assert (bands["head"].kinds, bands["head"].macro_auroc) == (("Effusion",), 0.9)
    assert bands["tail"].kinds == ()
    assert np.isnan([bands["tail"].macro_auroc, bands["tail"].macro_auprc]).all()


def test_shares_count_unknown_labels_as_not_positive() -> None:
    labels = np.array([[1, -1], [0, 1], [-1, -1], [1, 0]], np.int8)
    assert positive_shares(("Effusion", "Edema"), labels) == {"Effusion": 0.5, "Edema": 0.25}
    assert positive_shares(("Effusion",), np.zeros((0, 1))) == {"Effusion": 0}
