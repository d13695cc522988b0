from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from xlip.errors import XLIPError
from xlip.metrics.auroc import auprc, auroc
from xlip.metrics.kinds import MIN_CASES, evaluate_kinds, macro


@settings(deadline=None)  # a busy machine is no fault
@given(st.integers(0, 2**32 - 1), st.integers(2, 60), st.integers(1, 12))
def test_areas_equal_scikit_learn_with_ties_and_weights(seed: int, count: int, levels: int) -> None:
    rng = np.random.default_rng(seed)
    labels = np.r_[0, 1, rng.integers(0, 2, count)]
    scores = rng.integers(0, levels, len(labels)) / levels  # few levels: many ties
    weights = np.r_[1, 1, rng.integers(0, 4, count)][None].repeat(3, 0)
    weights[1:, 2:] = rng.integers(0, 4, (2, count))
    assert auroc(labels, scores)[0] == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    assert auprc(labels, scores) == pytest.approx(average_precision_score(labels, scores), abs=1e-12)
    expected = [roc_auc_score(labels, scores, sample_weight=row) for row in weights]
    assert auroc(labels, scores, weights) == pytest.approx(expected, abs=1e-12)


def test_a_missing_class_gives_no_figure() -> None:
    scores = np.arange(4.0)
    assert np.isnan(auroc(np.ones(4), scores)).all()
    assert np.isnan(auroc(np.array([0, 0, 1, 1]), scores, np.array([[1, 1, 0, 0]]))).all()
    assert np.isnan(auprc(np.zeros(4), scores))
    assert np.isnan(auroc(np.zeros(0), np.zeros(0))).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_scores_that_are_not_finite_are_refused(bad: float) -> None:
    with pytest.raises(XLIPError, match="1 of 3 are not finite"):
        auroc(np.array([0, 1, 1]), np.array([0.1, bad, 0.3]))


def cases(seed: int, count: int, kinds: int = 1) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = (rng.random((count, kinds)) < 0.4).astype(np.int8)
    return labels, rng.normal(size=labels.shape) + 0.8 * labels


def test_the_interval_resamples_patients_and_not_images() -> None:
    labels, scores = cases(0, 80)
    single, _ = evaluate_kinds(labels, scores, np.arange(80), replicates=400)
    # Nine copies of every image tell nothing new when they are of the same patient.
    many = [array.repeat(9, 0) for array in (labels, scores, np.arange(80))]
    same, _ = evaluate_kinds(*many, replicates=400)
    apart, _ = evaluate_kinds(many[0], many[1], np.arange(720), replicates=400)
    assert same[0].auroc == pytest.approx(single[0].auroc, abs=1e-12)
    assert same[0].ci95 == pytest.approx(single[0].ci95, abs=1e-12)
    width, narrow = (high - low for low, high in (same[0].ci95, apart[0].ci95))
    assert width / narrow == pytest.approx(3, rel=0.25)  # the square root of nine


def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    truth = 0.7142  # P(N(0.8, 1) > N(0, 1)) = Phi(0.8 / sqrt 2)
    held = 0
    for seed in range(200):
        labels, scores = cases(seed, 120)
        low, high = evaluate_kinds(labels, scores, np.arange(120), replicates=200, seed=seed)[0][0].ci95
        held += low <= truth <= high
    assert 0.88 <= held / 200 <= 0.99


def test_the_same_seed_gives_the_same_interval_and_another_seed_another() -> None:
    labels, scores = cases(1, 60)
    runs = [evaluate_kinds(labels, scores, np.arange(60), replicates=50, seed=seed)[1] for seed in (0, 0, 1)]
    assert runs[0] == runs[1] != runs[2]


def test_unknown_labels_count_neither_way() -> None:
    labels, scores = cases(2, 50)
    padded = np.r_[labels, np.full((30, 1), -1, np.int8)], np.r_[scores, np.full((30, 1), 9.0)]
    with_unknown = evaluate_kinds(*padded, np.arange(80))[0][0]
    without = evaluate_kinds(labels, scores, np.arange(50))[0][0]
    for name in ("auroc", "auprc", "positives", "negatives"):
        assert getattr(with_unknown, name) == getattr(without, name)


@pytest.mark.parametrize("rare", [0, 1])
def test_a_kind_with_too_few_of_a_class_stays_out_of_the_macro_mean(rare: int) -> None:
    labels, scores = cases(3, 100, kinds=3)
    for kind, count in ((1, MIN_CASES - 1), (2, MIN_CASES)):
        labels[:, kind] = 1 - rare
        labels[:count, kind] = rare
    measured, interval = evaluate_kinds(labels, scores, np.arange(100))
    assert macro(measured) == pytest.approx((measured[0].auroc + measured[2].auroc) / 2, abs=1e-12)
    assert interval == evaluate_kinds(labels[:, [0, 2]], scores[:, [0, 2]], np.arange(100))[1]
    assert np.isnan(macro(measured[1:2]))
    assert np.isfinite(measured[1].auroc)


def test_permuted_labels_give_a_half_within_the_interval() -> None:
    labels, scores = cases(4, 600, kinds=6)
    true_low, _ = evaluate_kinds(labels, scores, np.arange(600))[1]
    permuted = np.random.default_rng(0).permuted(labels, axis=0)
    measured, (low, high) = evaluate_kinds(permuted, scores, np.arange(600))
    assert low <= 0.5 <= high < true_low
    assert sum(m.ci95[0] <= 0.5 <= m.ci95[1] for m in measured) >= 5


def test_the_macro_interval_is_that_of_the_mean_over_kinds() -> None:
    labels, scores = cases(5, 100)
    opposite = np.c_[labels, labels], np.c_[scores, -scores]  # the two areas add up to 1 in every replicate
    assert evaluate_kinds(*opposite, np.arange(100))[1] == pytest.approx((0.5, 0.5), abs=1e-12)
