"""Selective risk against loops over every order of equally trusted cases, and what must hold of any confidence."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xlip.errors import XLIPError
from xlip.metrics.abstention import COVERAGES, score_confidence, selective_risk

FEW = {"replicates": 2}


def naive(wrong: np.ndarray, confidence: np.ndarray) -> tuple[float, list[float]]:
    """AURC, and the risk of the ceil(c n) most trusted cases, as means over all orders of ties."""
    count, areas, curves = len(wrong), [], []
    for order in permutations(range(count)):
        trusted = [confidence[i] for i in order]
        if trusted != sorted(trusted, reverse=True):
            continue
        risks = [np.mean([wrong[i] for i in order[:k]]) for k in range(1, count + 1)]
        areas.append(np.mean(risks))
        curves.append([risks[int(np.ceil(round(c * count, 9))) - 1] for c in COVERAGES])
    return float(np.mean(areas)), list(np.mean(curves, 0))


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 2)), min_size=1, max_size=6))
def test_curve_and_area_equal_the_mean_over_all_orders_of_ties(cases: list[tuple[bool, int]]) -> None:
    wrong, confidence = (np.array(column) for column in zip(*cases, strict=True))
    found = selective_risk(wrong, confidence.astype(float), np.arange(len(cases)), **FEW)
    area, curve = naive(wrong, confidence)
    assert found.aurc == pytest.approx(area)
    assert found.curve == pytest.approx(curve)
    assert found.risk == found.curve[-1] == pytest.approx(wrong.mean())
    assert found.risk_at_90 == pytest.approx(curve[COVERAGES.index(0.9)])
    assert found.best_aurc <= found.aurc + 1e-12


def test_an_order_that_knows_the_errors_is_the_best_one_and_a_useless_one_keeps_the_risk() -> None:
    rng = np.random.default_rng(0)
    wrong = rng.random(400) < 0.2
    people = np.arange(400)
    knowing = selective_risk(wrong, -wrong.astype(float), people, **FEW)
    assert knowing.aurc == pytest.approx(knowing.best_aurc)
    assert knowing.risk_at_90 == pytest.approx(max(0, wrong.sum() - 40) / 360)
    blind = selective_risk(wrong, np.zeros(400), people, **FEW)
    assert blind.curve == pytest.approx([wrong.mean()] * 20)
    assert blind.aurc == pytest.approx(wrong.mean())


def test_intervals_draw_patients_as_a_loop_that_repeats_their_cases_does() -> None:
    rng = np.random.default_rng(1)
    confidence, people = np.round(rng.random(120), 1), np.arange(120) // 4
    wrong = rng.random(120) < 0.5 - 0.4 * confidence
    found = selective_risk(wrong, confidence, people, replicates=400)
    sample = []
    for _ in range(400):
        rows = np.concatenate([np.flatnonzero(people == p) for p in rng.integers(0, 30, 30)])
        one = selective_risk(wrong[rows], confidence[rows], np.arange(len(rows)), replicates=1)
        sample.append((one.aurc, one.risk_at_90))
    low, high = np.percentile(sample, (2.5, 97.5), axis=0)
    assert found.aurc_ci95 == pytest.approx((low[0], high[0]), abs=0.02)
    assert found.risk_at_90_ci95 == pytest.approx((low[1], high[1]), abs=0.03)


def test_confidence_is_the_distance_from_the_threshold() -> None:
    scores = np.array([0.1, 0.5, 0.9, 0.0, 1.0])
    odds = score_confidence(scores, 0.5, probabilities=True)
    assert odds[:3] == pytest.approx([np.log(9), 0, np.log(9)])
    assert np.isfinite(odds).all()
    assert score_confidence(np.array([-3.0, 2.0]), 1.0, probabilities=False) == pytest.approx([4, 1])


def test_nothing_and_no_number() -> None:
    bare = selective_risk(np.array([True, False]), np.array([1.0, 2.0]), np.arange(2), replicates=0)
    assert bare.aurc == pytest.approx(0.25)
    assert np.isnan(bare.aurc_ci95).all()
    empty = selective_risk(np.zeros(0, bool), np.zeros(0), np.zeros(0, int), **FEW)
    assert np.isnan(empty.aurc)
    assert len(empty.curve) == len(COVERAGES)
    with pytest.raises(XLIPError, match="1 of 2 confidences are no number"):
        selective_risk(np.zeros(2, bool), np.array([0, np.nan]), np.arange(2), **FEW)
