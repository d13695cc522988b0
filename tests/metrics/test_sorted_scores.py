from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from xlip.errors import XLIPError
from xlip.metrics.auroc import auprc, auroc
from xlip.metrics.sorted_scores import RankedCases


@settings(deadline=None, max_examples=40)  # a busy machine is no fault
@given(st.integers(0, 2**32 - 1), st.integers(0, 60), st.integers(1, 12), st.booleans())
def test_areas_equal_scikit_learn_with_ties_and_weights(seed: int, count: int, levels: int, whole: bool) -> None:
    rng = np.random.default_rng(seed)
    labels = np.r_[0, 1, rng.integers(0, 2, count)]
    scores = rng.integers(0, levels, len(labels)) / levels  # few levels: many ties
    drawn = rng.integers(0, 4, (3, count)) if whole else rng.random((3, count)) * rng.integers(0, 2, (3, count))
    weights = np.c_[rng.random((3, 2)) + 0.1, drawn]  # the first two, one of each class, always count
    assert auroc(labels, scores)[0] == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    assert auprc(labels, scores) == pytest.approx(average_precision_score(labels, scores), abs=1e-12)
    roc, precision = RankedCases.of(labels, scores).areas(weights)
    assert roc == pytest.approx([roc_auc_score(labels, scores, sample_weight=row) for row in weights], abs=1e-12)
    expected = [average_precision_score(labels, scores, sample_weight=row) for row in weights]
    assert precision == pytest.approx(expected, abs=1e-12)
    assert np.array_equal(roc, auroc(labels, scores, weights))


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_the_area_is_the_share_of_pairs_that_are_in_order(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels, scores, weights = rng.integers(0, 2, 12), rng.integers(0, 5, 12), rng.integers(0, 3, 12)
    wins = pairs = 0.0
    for i in np.flatnonzero(labels == 1):
        for j in np.flatnonzero(labels == 0):
            pair = weights[i] * weights[j]
            pairs += pair
            wins += pair * (float(scores[i] > scores[j]) + float(scores[i] == scores[j]) / 2)
    expected = wins / pairs if pairs else np.nan
    assert auroc(labels, scores, weights[None])[0] == pytest.approx(expected, abs=1e-12, nan_ok=True)


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 5))
def test_columns_carry_the_weight_of_all_cases_of_a_patient(seed: int, patients: int) -> None:
    rng = np.random.default_rng(seed)
    labels, scores, columns = rng.integers(-1, 2, 30), rng.integers(0, 9, 30), rng.integers(0, patients, 30)
    weights = rng.integers(0, 3, (4, patients)).astype(float)
    known = labels >= 0
    by_patient = RankedCases.of(labels, scores, columns).areas(weights)
    by_case = RankedCases.of(labels[known], scores[known]).areas(weights[:, columns[known]])
    for ours, theirs in zip(by_patient, by_case, strict=True):
        assert ours == pytest.approx(theirs, abs=1e-12, nan_ok=True)


def test_a_weight_of_two_is_a_case_that_stands_there_twice() -> None:
    labels, scores, weights = np.array([0, 1, 0, 1, 1]), np.array([0.1, 0.4, 0.4, 0.2, 0.9]), np.array([2, 1, 0, 3, 1])
    long = [array.repeat(weights) for array in (labels, scores)]
    roc, precision = RankedCases.of(labels, scores).areas(weights[None])
    assert roc[0] == auroc(*long)[0]
    assert precision[0] == pytest.approx(auprc(*long), abs=1e-15)


def test_sums_stay_exact_where_float32_would_round() -> None:
    count = 6000  # 9,000,000 pairs and half of one: more than the 24 bits of a float32
    labels = np.r_[np.zeros(count // 2, int), np.ones(count // 2, int)]
    scores = np.arange(count, dtype=np.float64)
    scores[count // 2] = scores[count // 2 - 1]  # one tie between the classes
    weights = np.ones((1, count), np.float32)
    pairs = (count // 2) ** 2
    assert auroc(labels, scores, weights)[0] == (pairs - 0.5) / pairs


def test_a_missing_class_gives_no_figure() -> None:
    scores = np.arange(4.0)
    assert np.isnan(auroc(np.ones(4), scores)).all()
    assert np.isnan(auroc(np.array([0, 0, 1, 1]), scores, np.array([[1, 1, 0, 0]]))).all()
    assert np.isnan(auprc(np.zeros(4), scores))
    assert auprc(np.ones(4), scores) == 1
    assert np.isnan(auroc(np.zeros(0), np.zeros(0))).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_scores_that_are_not_finite_are_refused(bad: float) -> None:
    with pytest.raises(XLIPError, match="1 of 3 are not finite"):
        auroc(np.array([0, 1, 1]), np.array([0.1, bad, 0.3]))
    assert auroc(np.array([0, 1, -1]), np.array([0.1, 0.2, bad]))[0] == 1  # nobody asked for the third
