"""One of several kinds, against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, precision_score, recall_score

from xlip.errors import XLIPError
from xlip.metrics.exclusive import exclusive


def test_figures_equal_those_of_scikit_learn_and_other_cases_are_left_out() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 5, 300)
    labels = np.eye(5, dtype=int)[truth]
    scores = rng.random((300, 5)) + 0.6 * labels
    labels[:4, :] = 0, 0, 1, 1, 0
    labels[4, 2] = -1
    found = exclusive(labels, scores, np.arange(300), replicates=200)
    said = scores[5:].argmax(1)
    assert (found.cases, found.left_out) == (295, 5)
    assert found.accuracy == pytest.approx(accuracy_score(truth[5:], said))
    assert found.macro_f1 == pytest.approx(f1_score(truth[5:], said, average="macro"))
    assert np.array(found.confusion) == pytest.approx(confusion_matrix(truth[5:], said))
    assert [one.recall for one in found.per_kind] == pytest.approx(recall_score(truth[5:], said, average=None))
    assert [one.precision for one in found.per_kind] == pytest.approx(precision_score(truth[5:], said, average=None))
    low, high = found.accuracy_ci95
    width = 1.96 * np.sqrt(found.accuracy * (1 - found.accuracy) / 295)
    assert (low, high) == pytest.approx((found.accuracy - width, found.accuracy + width), abs=0.02)


def test_equal_largest_scores_share_a_case_and_nothing_to_choose_is_refused() -> None:
    labels = np.eye(4, dtype=int)
    assert exclusive(labels, np.zeros((4, 4)), np.arange(4), replicates=2).accuracy == pytest.approx(0.25)
    with pytest.raises(XLIPError, match="at least two kinds"):
        exclusive(labels[:, :1], np.zeros((4, 1)), np.arange(4))
    with pytest.raises(XLIPError, match="none of 4 cases has exactly one"):
        exclusive(np.ones((4, 2), int), np.zeros((4, 2)), np.arange(4))
