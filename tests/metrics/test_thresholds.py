from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef, recall_score

from xlip.errors import XLIPError
from xlip.metrics.kinds import MIN_CASES
from xlip.metrics.thresholds import THRESHOLD_RULES, at_threshold, choose_threshold, threshold_means, threshold_table
from xlip.results.result import Predictions


def predictions(seed: int, count: int = 80, kinds: tuple[str, ...] = ("Effusion", "Edema")) -> Predictions:
    rng = np.random.default_rng(seed)
    labels = (rng.random((count, len(kinds))) < 0.3).astype(np.int8)
    scores = np.clip(rng.normal(0.3 + 0.25 * labels, 0.15), 0, 1)
    ids = tuple(str(row) for row in range(count))
    return Predictions(kinds, ids, np.arange(count), labels, scores)


@settings(deadline=None, max_examples=40)  # a busy machine is no fault
@given(st.integers(0, 2**32 - 1), st.integers(0, 40), st.integers(1, 9), st.floats(-0.5, 1.5))
def test_figures_equal_scikit_learn(seed: int, count: int, levels: int, threshold: float) -> None:
    rng = np.random.default_rng(seed)
    labels = np.r_[0, 1, rng.integers(0, 2, count)]
    scores = rng.integers(0, levels + 1, len(labels)) / levels
    found, said = at_threshold(labels, scores, threshold), scores >= threshold
    assert found.f1 == pytest.approx(f1_score(labels, said, zero_division=0), abs=1e-12)
    assert found.accuracy == pytest.approx(accuracy_score(labels, said), abs=1e-12)
    assert found.mcc == pytest.approx(matthews_corrcoef(labels, said), abs=1e-12)
    assert found.sensitivity == pytest.approx(recall_score(labels, said), abs=1e-12)
    assert found.specificity == pytest.approx(recall_score(labels, said, pos_label=0), abs=1e-12)
    assert found.tp + found.fp + found.fn + found.tn == len(labels)


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 30), st.integers(1, 9))
def test_no_other_threshold_has_a_larger_f1(seed: int, count: int, levels: int) -> None:
    rng = np.random.default_rng(seed)
    labels = np.r_[1, rng.integers(-1, 2, count)]
    scores = rng.integers(0, levels, len(labels)) / levels
    chosen = choose_threshold(labels, scores)
    best = at_threshold(labels, scores, chosen).f1
    for other in np.unique(scores):
        f1 = at_threshold(labels, scores, float(other)).f1
        assert f1 <= best + 1e-15
        assert other <= chosen or f1 < best  # of several the highest


def test_the_val_rule_never_looks_at_the_labels_of_the_test() -> None:
    test, validation = predictions(0), predictions(1)
    table = threshold_table(test, validation)
    turned = threshold_table(replace(test, labels=1 - test.labels), validation)
    for column, kind in enumerate(test.kinds):
        assert tuple(table[kind]) == THRESHOLD_RULES
        expected = choose_threshold(validation.labels[:, column], validation.scores[:, column])
        assert table[kind]["val"].threshold == turned[kind]["val"].threshold == expected
        assert table[kind]["oracle"].threshold != turned[kind]["oracle"].threshold
        assert table[kind]["oracle"].f1 >= max(table[kind]["val"].f1, table[kind]["0.5"].f1)
        assert table[kind]["0.5"] == at_threshold(test.labels[:, column], test.scores[:, column], 0.5)


def test_kinds_of_the_validation_are_found_by_name() -> None:
    test, validation = predictions(0), predictions(1)
    turned = replace(
        validation, kinds=validation.kinds[::-1], labels=validation.labels[:, ::-1], scores=validation.scores[:, ::-1]
    )
    assert threshold_table(test, turned) == threshold_table(test, validation)


def test_a_rule_that_gives_no_threshold_is_missing() -> None:
    test, validation = predictions(0), predictions(1)
    assert all(set(row) == {"oracle", "0.5"} for row in threshold_table(test).values())
    other = replace(validation, kinds=("Edema", "Mass"))
    assert [set(row) for row in threshold_table(test, other).values()] == [{"oracle", "0.5"}, set(THRESHOLD_RULES)]
    barren = replace(validation, labels=np.minimum(validation.labels, 0))
    assert all("val" not in row for row in threshold_table(test, barren).values())
    nothing = replace(test, labels=np.minimum(test.labels, 0))
    assert all(set(row) == {"val", "0.5"} for row in threshold_table(nothing, validation).values())
    logits = replace(test, scores=test.scores * 9 - 4)
    assert all(set(row) == {"val", "oracle"} for row in threshold_table(logits, validation).values())


def test_what_cannot_be_computed_is_nan_and_one_decision_for_all_has_no_correlation() -> None:
    none = at_threshold(np.zeros(3), np.array([0.1, 0.2, 0.3]), 0.5)
    assert np.isnan([none.f1, none.mcc, none.sensitivity]).all()
    assert (none.accuracy, none.specificity, none.tn) == (1, 1, 3)
    assert at_threshold(np.array([0, 1]), np.array([0.1, 0.2]), 0.5).mcc == 0
    assert np.isnan(at_threshold(np.full(2, -1), np.zeros(2), 0.5).accuracy)


def test_the_correlation_of_very_many_cases_does_not_overflow() -> None:
    labels = np.r_[np.ones(80_000, int), np.zeros(80_000, int)]
    scores = np.r_[np.ones(60_000), np.zeros(20_000), np.ones(20_000), np.zeros(60_000)]
    assert at_threshold(labels, scores, 0.5).mcc == pytest.approx(0.5, abs=1e-12)


def test_means_are_over_kinds_with_enough_cases() -> None:
    test = predictions(2, kinds=("Effusion", "Edema", "Hernia"))
    test.labels[:, 2] = 0
    test.labels[: MIN_CASES - 1, 2] = 1
    table = threshold_table(test)
    means = threshold_means(table)
    assert set(means) == {"oracle", "0.5"}
    for name in ("f1", "accuracy", "mcc", "sensitivity", "specificity"):
        expected = [getattr(table[kind]["0.5"], name) for kind in ("Effusion", "Edema")]
        assert means["0.5"][name] == pytest.approx(np.mean(expected), abs=1e-15)
    assert threshold_means({"Hernia": table["Hernia"]}) == {}


def test_nothing_to_choose_from_and_nan_are_refused() -> None:
    with pytest.raises(XLIPError, match="expected a positive case among 2 known ones, found none"):
        choose_threshold(np.array([0, 0, -1]), np.zeros(3))
    with pytest.raises(XLIPError, match="1 of 2 are not finite"):
        threshold_table(replace(predictions(0, count=2), scores=np.array([[0.1, 0.2], [np.nan, 0.1]])))
