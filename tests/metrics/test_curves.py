from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics

from xlip.errors import XLIPError
from xlip.metrics.curves import precision_recall_curve, roc_curve


@pytest.mark.parametrize("levels", [3, 1000])
def test_curves_are_those_of_scikit_learn_with_ties_and_unknown_labels(levels: int) -> None:
    draw = np.random.default_rng(levels)
    labels, scores = draw.integers(-1, 2, 200), draw.integers(0, levels, 200) / levels
    truth, known = labels[labels >= 0], scores[labels >= 0]
    false, true = roc_curve(labels, scores)
    expected = metrics.roc_curve(truth, known, drop_intermediate=False)
    assert np.allclose(false, expected[0])
    assert np.allclose(true, expected[1])
    precision, recall = precision_recall_curve(labels, scores)
    theirs = metrics.precision_recall_curve(truth, known)
    # Theirs ends with a point of no threshold, and begins at the lowest score.
    assert np.allclose(precision, theirs[0][-2::-1])
    assert np.allclose(recall, theirs[1][-2::-1])


def test_scores_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(XLIPError, match="1 of 2 are not finite"):
        roc_curve(np.array([1, 0]), np.array([0.5, np.nan]))
