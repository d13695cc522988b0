from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xlip.errors import XLIPError
from xlip.metrics.grounding import box_region, choose_heat_threshold, cnr, iou, iou_at, pointing_game, size_of

REGION = np.zeros((4, 5), bool)
REGION[1:3, 2:4] = True
HEAT = np.arange(20.0).reshape(4, 5)


def test_the_hottest_pixel_decides() -> None:
    assert pointing_game(HEAT, REGION) == 0
    assert pointing_game(-np.abs(HEAT - 7), REGION) == 1
    assert pointing_game(np.zeros((4, 5)), REGION) == 4 / 20  # all alike: as often as by chance


def test_the_intersection_by_hand() -> None:
    assert iou(REGION, REGION) == 1
    assert iou(~REGION, REGION) == 0
    assert iou(np.zeros((4, 5), bool), REGION) == 0
    wider = np.zeros((4, 5), bool)
    wider[1:3, 1:4] = True
    assert iou(wider, REGION) == pytest.approx(4 / 6)


def test_a_map_is_cut_at_every_threshold() -> None:
    found = iou_at(HEAT, REGION, [0.0, 7.0, 12.5, 100.0])
    assert list(found) == [0.0, 7.0, 12.5, 100.0]
    assert list(found.values()) == pytest.approx([4 / 20, 4 / 13, 1 / 10, 0])  # pixels 7, 8, 12 and 13 are the region


def test_boxes_become_the_pixels_whose_centre_they_hold() -> None:
    assert np.array_equal(box_region([(0.4, 0.25, 0.4, 0.5)], (4, 5)), REGION)
    both = box_region([(0.4, 0.25, 0.4, 0.25), (0.4, 0.5, 0.4, 0.25)], (4, 5))
    assert np.array_equal(both, REGION)
    assert box_region([(0, 0, 1, 1)], (4, 5)).all()
    assert not box_region([(0.01, 0.01, 0.05, 0.05)], (4, 5)).any()  # smaller than a pixel, beside its centre
    assert not box_region([], (4, 5)).any()


@settings(deadline=None)  # a busy machine is no fault
@given(st.integers(0, 2**32 - 1), st.floats(0.1, 10), st.floats(-5, 5))
def test_figures_do_not_depend_on_the_scale_of_the_heat(seed: int, scale: float, shift: float) -> None:
    rng = np.random.default_rng(seed)
    heat, region = rng.normal(size=(6, 7)), rng.random((6, 7)) < 0.3
    region[2, 3] = True
    assert cnr(heat * scale + shift, region) == pytest.approx(cnr(heat, region), abs=1e-9)
    assert cnr(-heat, region) == pytest.approx(-cnr(heat, region), abs=1e-12)
    assert cnr(heat, ~region) == pytest.approx(-cnr(heat, region), abs=1e-12)
    assert cnr(heat, region, absolute=True) == abs(cnr(heat, region))
    assert pointing_game(heat * scale + shift, region) == pointing_game(heat, region)


def test_the_contrast_by_hand() -> None:
    inside, outside = HEAT[REGION], HEAT[~REGION]
    expected = (inside.mean() - outside.mean()) / np.sqrt(inside.var() + outside.var())
    assert cnr(HEAT, REGION) == pytest.approx(expected, abs=1e-12)
    assert cnr(REGION.astype(float), REGION) == np.inf
    assert cnr(-REGION.astype(float), REGION) == -np.inf
    assert cnr(np.ones((4, 5)), REGION) == 0
    assert np.isnan(cnr(HEAT, np.ones((4, 5), bool)))


@pytest.mark.parametrize("figure", [pointing_game, iou, cnr])
def test_faults_are_refused(figure: object) -> None:
    assert callable(figure)
    with pytest.raises(XLIPError, match=r"a map of shape \(4, 5\) on a region of shape \(5, 4\)"):
        figure(HEAT > 3, REGION.T)
    with pytest.raises(XLIPError, match="the region is empty"):
        figure(HEAT > 3, np.zeros((4, 5), bool))
    with pytest.raises(XLIPError, match="the region is empty"):
        iou_at(HEAT, np.zeros((4, 5), bool), [])
    if figure is not iou:
        with pytest.raises(XLIPError, match="1 of 20 heat values are not finite"):
            figure(np.where(HEAT == 3, np.nan, HEAT), REGION)


def test_the_threshold_is_the_best_of_all_that_are_tried_and_the_sizes_are_shares_of_the_image() -> None:
    rng = np.random.default_rng(0)
    regions = [np.zeros((16, 16), bool) for _ in range(6)]
    for number, region in enumerate(regions):
        region[2 : 5 + number, 3:9] = True
    maps = [region + 0.4 * rng.normal(size=(16, 16)) for region in regions]
    found = choose_heat_threshold(maps, regions)

    def mean(limit: float) -> float:
        return float(np.mean([iou(heat >= limit, region) for heat, region in zip(maps, regions, strict=True)]))

    assert mean(found) >= max(mean(limit) for limit in np.linspace(-1, 2, 61)) - 0.02
    assert mean(found) > mean(0.0)
    with pytest.raises(XLIPError, match="expected a validation region"):
        choose_heat_threshold([], [])
    small, medium, large = (np.arange(100).reshape(10, 10) < count for count in (1, 2, 10))
    assert [size_of(one) for one in (small, medium, large)] == ["small", "medium", "large"]
