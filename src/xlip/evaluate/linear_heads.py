"""Logistic regression on frozen embeddings, one kind at a time: the arithmetic of the linear probe."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from xlip.metrics.auroc import mean_auroc
from xlip.results.result import Array

MAX_ITERATIONS = 1000


@dataclass(frozen=True)
class LinearHeads:
    """K logistic regressions on standardised features."""

    mean: Array
    """(E,)."""
    std: Array
    """(E,)."""
    weight: Array
    """(K, E)."""
    bias: Array
    """(K,)."""

    def probabilities(self, features: Array) -> Array:
        """(n, E) -> (n, K) in [0, 1]."""
        logits = (features - self.mean) / self.std @ self.weight.T + self.bias
        scores: Array = 1 / (1 + np.exp(-np.clip(logits, -500, 500)))
        return scores


def fit_heads(features: Array, labels: Array, c: float) -> LinearHeads:
    """Fit a regression per kind on the images whose label is known (L2, `c` is scikit-learn's C).

    Args:
        features: (n, E).
        labels: (n, K) of 1, 0, -1. A kind of which only one class is known gets a constant: its share of positives by
            Laplace's rule.
        c: inverse strength of the penalty.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    features = features.astype(np.float64)
    mean, std = features.mean(0), features.std(0) + 1e-8
    unit = (features - mean) / std
    weight, bias = np.zeros((labels.shape[1], unit.shape[1])), np.zeros(labels.shape[1])
    for kind in range(labels.shape[1]):
        known = labels[:, kind] >= 0
        truth = labels[known, kind]
        if len(np.unique(truth)) < 2:
            share = (truth.sum() + 1) / (len(truth) + 2)
            bias[kind] = np.log(share / (1 - share))
            continue
        with warnings.catch_warnings():
            # A weak penalty on separable data has no optimum to converge to; validation then prefers a stronger one.
            warnings.simplefilter("ignore", ConvergenceWarning)
            model = LogisticRegression(C=c, max_iter=MAX_ITERATIONS).fit(unit[known], truth)
        weight[kind], bias[kind] = model.coef_[0], model.intercept_[0]
    return LinearHeads(mean, std, weight, bias)


def choose_c(
    features: Array,
    labels: Array,
    candidates: Sequence[float],
    *,
    fold: Array | None = None,
    validation: tuple[Array, Array] | None = None,
) -> tuple[float, Array]:
    """The candidate with the highest mean AUROC, and its scores of the images that it did not see.

    Args:
        features: (n, E) of the training part.
        labels: (n, K).
        candidates: values of C, tried from the smallest; equals go to the smaller.
        fold: (n,) the fold of each training image, for cross-validation where there is no validation part.
        validation: (features, labels) of the validation part.

    Returns:
        C, and (m, K) the scores of the validation part, or out-of-fold ones of the training part.
    """
    best: tuple[float, float, Array] | None = None
    for c in sorted(candidates):
        if validation is not None:
            scores, truth = fit_heads(features, labels, c).probabilities(validation[0]), validation[1]
        else:
            assert fold is not None
            scores, truth = _out_of_fold(features, labels, c, fold), labels
        area = mean_auroc(truth, scores)
        if best is None or area > best[0]:
            best = (area, c, scores)
    assert best is not None
    return best[1], best[2]


def _out_of_fold(features: Array, labels: Array, c: float, fold: Array) -> Array:
    scores = np.zeros(labels.shape)
    for number in np.unique(fold):
        held = fold == number
        scores[held] = fit_heads(features[~held], labels[~held], c).probabilities(features[held])
    return scores
