from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve

from xlip.errors import XLIPError
from xlip.metrics.auroc import auroc
from xlip.metrics.calibration import (
    TEMPERATURES,
    apply_temperature,
    expected_calibration_error,
    fit_platt,
    fit_temperature,
    logits,
    reliability,
)


def sigmoid(values: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-values))


@settings(deadline=None, max_examples=40)  # a busy machine is no fault
@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.integers(1, 20))
def test_bins_equal_a_loop_over_the_cases(seed: int, count: int, bins: int) -> None:
    rng = np.random.default_rng(seed)
    labels, scores = rng.integers(-1, 2, count), rng.integers(0, bins * 3 + 1, count) / (bins * 3)  # many on a bound
    members: list[list[int]] = [[] for _ in range(bins)]
    for row in np.flatnonzero(labels >= 0):
        lower = [place for place in range(bins) if place / bins <= scores[row]]
        members[lower[-1]].append(row)
    mean, share, counts = reliability(labels, scores, bins)
    assert counts.tolist() == [len(rows) for rows in members]
    error = 0.0
    for place, rows in enumerate(members):
        if rows:
            assert mean[place] == pytest.approx(scores[rows].mean(), abs=1e-12)
            assert share[place] == pytest.approx(labels[rows].mean(), abs=1e-12)
            error += len(rows) / counts.sum() * abs(labels[rows].mean() - scores[rows].mean())
        else:
            assert np.isnan([mean[place], share[place]]).all()
    found = expected_calibration_error(labels, scores, bins)
    assert found == pytest.approx(error if counts.sum() else np.nan, abs=1e-12, nan_ok=True)


def test_bins_equal_scikit_learn_away_from_the_bounds() -> None:
    rng = np.random.default_rng(0)
    labels, scores = rng.integers(0, 2, 500), rng.random(500)
    mean, share, count = reliability(labels, scores)
    assert (count > 0).all()
    expected_share, expected_mean = calibration_curve(labels, scores, n_bins=15)
    assert mean == pytest.approx(expected_mean, abs=1e-12)
    assert share == pytest.approx(expected_share, abs=1e-12)


def test_true_probabilities_have_no_error_and_confident_nonsense_has_much() -> None:
    rng = np.random.default_rng(1)
    scores = rng.random(50_000)
    labels = (rng.random(50_000) < scores).astype(int)
    assert expected_calibration_error(labels, scores) < 0.01
    assert expected_calibration_error(np.array([0, 1]), np.array([1.0, 0.0])) == 1
    assert expected_calibration_error(labels.reshape(-1, 2), scores.reshape(-1, 2)) < 0.01  # kinds are pooled


@pytest.mark.parametrize("temperature", [0.3, 1.0, 4.0])
def test_a_temperature_is_found_again(temperature: float) -> None:
    rng = np.random.default_rng(2)
    true = rng.normal(size=40_000)
    labels = (rng.random(40_000) < sigmoid(true)).astype(int)
    assert fit_temperature(labels, true * temperature) == pytest.approx(temperature, rel=0.05)


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_no_other_temperature_has_a_smaller_cross_entropy(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels, values = np.r_[0, 1, rng.integers(-1, 2, 40)], rng.normal(scale=3, size=42)
    away = np.where(labels == 1, -values, values)[labels >= 0]  # the cross-entropy is the mean of log(1 + exp(away))
    found = fit_temperature(labels, values)
    losses = [np.logaddexp(0, away / t).mean() for t in (found, *np.geomspace(*TEMPERATURES))]
    assert losses[0] <= min(losses) + 1e-9


def test_scaling_keeps_the_order_and_bounds_hold_where_there_is_no_best() -> None:
    labels, values = np.array([0, 0, 1, 1]), np.array([-2.0, -1.0, 1.0, 800.0])
    assert fit_temperature(labels, values) == pytest.approx(TEMPERATURES[0])
    assert fit_temperature(labels, -values) == pytest.approx(TEMPERATURES[1])
    rng = np.random.default_rng(3)
    labels, values = rng.integers(0, 2, 50), rng.normal(size=50)
    assert auroc(labels, apply_temperature(values, 3.0)) == auroc(labels, values)
    assert apply_temperature(np.array([-1e4, 0, 1e4]), 1.0).tolist() == [0, 0.5, 1]


def test_logits_and_probabilities_are_inverse() -> None:
    p = np.array([1e-9, 0.2, 0.5, 1 - 1e-9])
    assert apply_temperature(logits(p), 1.0) == pytest.approx(p, rel=1e-6)
    assert np.isfinite(logits(np.array([0.0, 1.0]))).all()


def test_scores_that_are_no_probabilities_or_no_numbers_are_refused() -> None:
    with pytest.raises(XLIPError, match=r"expected probabilities in \[0, 1\]"):
        reliability(np.array([0, 1]), np.array([0.5, 1.5]))
    with pytest.raises(XLIPError, match="1 of 2 are not finite"):
        expected_calibration_error(np.array([0, 1]), np.array([0.5, np.nan]))
    with pytest.raises(XLIPError, match="expected both classes among 2 known cases, found one"):
        fit_temperature(np.array([1, 1, -1]), np.zeros(3))


def platt_loss(labels: np.ndarray, scores: np.ndarray, slope: float, offset: float) -> float:
    """Cross-entropy with the targets of Platt 1999, as a loop."""
    known = labels >= 0
    ones, zeros = int((labels[known] == 1).sum()), int((labels[known] == 0).sum())
    total = 0.0
    for label, score in zip(labels[known], scores[known], strict=True):
        target = (ones + 1) / (ones + 2) if label else 1 / (zeros + 2)
        share = sigmoid(np.float64(slope * score + offset))
        total -= target * np.log(share) + (1 - target) * np.log(1 - share)
    return total / int(known.sum())


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(4, 60), st.floats(0.1, 5))
def test_no_nearby_curve_fits_better_than_platts(seed: int, count: int, spread: float) -> None:
    rng = np.random.default_rng(seed)
    labels = np.r_[0, 1, rng.integers(-1, 2, count)]
    scores = rng.normal(0, spread, count + 2) + 2 * (labels == 1)
    slope, offset = fit_platt(labels, scores)
    assert slope >= 0
    best = platt_loss(labels, scores, slope, offset)
    for step in (1e-2, -1e-2):
        assert platt_loss(labels, scores, slope, offset + step) >= best - 1e-9
        if slope + step >= 0:
            assert platt_loss(labels, scores, slope + step, offset) >= best - 1e-9


def test_scores_that_part_the_classes_perfectly_give_a_finite_slope_and_one_class_gives_none() -> None:
    slope, offset = fit_platt(np.array([0, 0, 1, 1]), np.array([-1.0, -2, 1, 2]))
    assert 0 < slope < 100
    assert abs(offset) < 1e-6
    with pytest.raises(XLIPError, match="both classes"):
        fit_platt(np.array([1, 1, -1]), np.zeros(3))
