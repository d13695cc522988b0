"""Thresholds and calibration on another set, against naive loops and what must hold of any scores."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from xlip.errors import XLIPError
from xlip.metrics.calibration import expected_calibration_error
from xlip.metrics.transport import carried, logistic_line, operating_threshold, recalibration


def drawn(seed: int, count: int = 60) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(-1, 2, count)
    labels[:2] = 0, 1
    return labels, np.round(rng.normal(size=count) + labels, 1)


def rates(labels: np.ndarray, scores: np.ndarray, threshold: float) -> tuple[float, float]:
    said = scores >= threshold
    return float(said[labels == 1].mean()), float((~said)[labels == 0].mean())


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32 - 1))
def test_thresholds_are_the_best_of_all_that_meet_their_goal(seed: int) -> None:
    labels, scores = drawn(seed)
    every = {t: rates(labels, scores, t) for t in np.unique(scores[labels >= 0])}
    best = max(sum(pair) for pair in every.values())
    assert operating_threshold(labels, scores, "youden") == max(
        t for t, pair in every.items() if sum(pair) > best - 1e-9
    )
    assert operating_threshold(labels, scores, "sensitivity 95") == max(
        t for t, (sens, _) in every.items() if sens >= 0.95
    )
    fitting = [t for t, (_, spec) in every.items() if spec >= 0.95]
    assert operating_threshold(labels, scores, "specificity 95") == (min(fitting) if fitting else np.inf)


def test_a_class_that_is_missing_or_an_unknown_goal_is_refused() -> None:
    with pytest.raises(XLIPError, match="expected both classes among 2 known cases, found one"):
        operating_threshold(np.array([1, 1, -1]), np.arange(3.0), "youden")
    with pytest.raises(XLIPError, match=r"expected one of youden, .* got 'best'"):
        operating_threshold(np.array([1, 0]), np.arange(2.0), "best")


def test_what_is_carried_equals_the_naive_count_and_its_bootstrap_draws_patients() -> None:
    labels, scores = drawn(3, 200)
    patients = np.arange(200) // 4
    found = carried(labels, scores, patients, 0.4, replicates=400)
    sensitivity, specificity = rates(labels, scores, 0.4)
    assert found.sensitivity == pytest.approx(sensitivity)
    assert found.specificity == pytest.approx(specificity)
    assert np.isnan(carried(labels, scores, patients, 0.4, replicates=0).sensitivity_ci95).all()
    rng, sample = np.random.default_rng(1), []
    for _ in range(400):
        rows = np.concatenate([np.flatnonzero(patients == p) for p in rng.integers(0, 50, 50)])
        sample.append(rates(labels[rows], scores[rows], 0.4))
    low, high = np.percentile(np.array(sample), (2.5, 97.5), axis=0)
    assert found.sensitivity_ci95 == pytest.approx((low[0], high[0]), abs=0.03)
    assert found.specificity_ci95 == pytest.approx((low[1], high[1]), abs=0.03)


def test_the_line_is_that_of_a_logistic_regression_and_stays_finite_where_scores_part_the_classes() -> None:
    rng = np.random.default_rng(0)
    odds = rng.normal(size=400)
    truth = rng.random(400) < 1 / (1 + np.exp(-(0.5 * odds - 1)))
    slope, intercept = logistic_line(truth, odds)
    reference = LogisticRegression(C=1e6, tol=1e-10).fit(odds[:, None], truth)
    assert slope == pytest.approx(float(reference.coef_[0, 0]), abs=0.01)
    assert intercept == pytest.approx(float(reference.intercept_[0]), abs=0.01)
    assert np.isfinite(logistic_line(odds > 0, odds)).all()


def test_a_refit_mends_scores_that_promise_too_much_and_leaves_calibrated_ones() -> None:
    rng = np.random.default_rng(0)
    odds = rng.normal(-1, 1.5, 4000)
    labels, people = (rng.random(4000) < 1 / (1 + np.exp(-odds))).astype(int), np.arange(4000)
    sound = recalibration(labels, 1 / (1 + np.exp(-odds)), people, [200])
    bold = recalibration(labels, 1 / (1 + np.exp(-(3 * odds + 2))), people, [20, 200])
    assert sound.slope == pytest.approx(1, abs=0.1)
    assert sound.intercept == pytest.approx(0, abs=0.1)
    assert bold.slope == pytest.approx(1 / 3, abs=0.05)
    few, many = bold.after
    assert many.ece < 0.5 * bold.ece_before
    assert many.ece < few.ece
    assert (many.wanted, many.fitted_on) == (200, 200)
    assert many.slope == pytest.approx(1, abs=0.15)
    assert many.intercept == pytest.approx(0, abs=0.15)
    assert np.isnan(recalibration(np.ones(10, int), np.full(10, 0.5), np.arange(10), [4]).slope)
    # A set whose own line is undone before is calibrated at once.
    undone = recalibration(labels, 1 / (1 + np.exp(-(3 * odds + 2))), people, [200], line=(1 / 3, -2 / 3))
    assert undone.ece_before == pytest.approx(sound.ece_before)


def test_a_refit_sees_whole_patients_and_its_figures_equal_the_naive_ones_on_the_rest() -> None:
    rng = np.random.default_rng(2)
    odds, people = rng.normal(size=300), np.arange(300) // 3
    labels = (rng.random(300) < 1 / (1 + np.exp(-(2 * odds + 1)))).astype(int)
    scores = 1 / (1 + np.exp(-odds))
    found = recalibration(labels, scores, people, [40, 10_000], draws=1, seed=5)
    order = np.random.default_rng(5).permutation(100)
    held = np.isin(people, order[50:])
    first = np.isin(people, order[:14])  # 14 patients of three are the first with at least 40 cases
    slope, intercept = logistic_line(labels[held] == 1, odds[held])
    assert (found.slope, found.intercept) == pytest.approx((slope, intercept), abs=1e-6)
    a, b = logistic_line(labels[first] == 1, odds[first])
    after = 1 / (1 + np.exp(-(a * odds[held] + b)))
    assert found.after[0].fitted_on == 42
    assert found.after[0].ece == pytest.approx(expected_calibration_error(labels[held], after))
    again = logistic_line(labels[held] == 1, a * odds[held] + b)
    assert (found.after[0].slope, found.after[0].intercept) == pytest.approx(again, abs=0.01)
    assert found.after[1].fitted_on == 150
