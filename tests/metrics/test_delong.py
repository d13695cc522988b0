from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xlip.errors import XLIPError
from xlip.metrics.auroc import auroc
from xlip.metrics.delong import delong_test, structural_components

# The data of DeLong, DeLong and Clarke-Pearson 1988, section 5: 43 women with ovarian cancer and a bowel obstruction;
# albumin, total protein, K-G score, and whether surgery failed to help (1). The figures below are those that the
# SAS/STAT User's Guide (PROC LOGISTIC, 'Comparing Receiver Operating Characteristic Curves') prints for them.
OVARIAN_TEXT = """
3.0 5.8 10 0  3.2 6.3 5 1  3.9 6.8 3 1  2.8 4.8 6 0  3.2 5.8 3 1  0.9 4.0 5 0  2.5 5.7 8 0  1.6 5.6 5 1
3.8 5.7 5 1  3.7 6.7 6 1  3.2 5.4 4 1  3.8 6.6 6 1  4.1 6.6 5 1  3.6 5.7 5 1  4.3 7.0 4 1  3.6 6.7 4 0
2.3 4.4 6 1  4.2 7.6 4 0  4.0 6.6 6 0  3.5 5.8 6 1  3.8 6.8 7 1  3.0 4.7 8 0  4.5 7.4 5 1  3.7 7.4 5 1
3.1 6.6 6 1  4.1 8.2 6 1  4.3 7.0 5 1  4.3 6.5 4 1  3.2 5.1 5 1  2.6 4.7 6 1  3.3 6.8 6 0  1.7 4.0 7 0
3.7 6.1 5 1  3.3 6.3 7 1  4.2 7.7 6 1  3.5 6.2 5 1  2.9 5.7 9 0  2.1 4.8 7 1  2.8 6.2 8 0  4.0 7.0 7 1
3.3 5.7 6 1  3.7 6.9 5 1  3.6 6.6 5 1
"""
OVARIAN = np.array(OVARIAN_TEXT.split(), np.float64).reshape(43, 4)
OUTCOME = OVARIAN[:, 3].astype(int)
MARKERS = {"albumin": OVARIAN[:, 0], "total protein": OVARIAN[:, 1], "K-G": 10 - OVARIAN[:, 2]}


@pytest.mark.parametrize(
    ("marker", "area", "difference", "error", "chi_square", "p"),
    [
        ("albumin", 0.7366, 0.0108, 0.0953, 0.0127, 0.9102),
        ("total protein", 0.6478, -0.0780, 0.1046, 0.5554, 0.4561),
    ],
)
def test_the_published_example(
    marker: str, area: float, difference: float, error: float, chi_square: float, p: float
) -> None:
    found = delong_test(OUTCOME, MARKERS[marker], MARKERS["K-G"])
    printed = (found.auc_a, found.auc_b, found.difference, math.sqrt(found.variance), found.z**2, found.p)
    assert printed == pytest.approx((area, 0.7258, difference, error, chi_square, p), abs=5e-5)


def test_the_published_standard_errors_and_the_joint_test() -> None:
    components = [structural_components(OUTCOME, scores) for scores in MARKERS.values()]
    positive, negative = (np.stack(side) for side in zip(*components, strict=True))
    covariance = np.cov(positive) / positive.shape[1] + np.cov(negative) / negative.shape[1]
    assert np.sqrt(np.diag(covariance)) == pytest.approx([0.0927, 0.1000, 0.1028], abs=5e-5)
    contrast = np.array([[1, 0, -1], [0, 1, -1]])
    difference = contrast @ positive.mean(1)
    statistic = difference @ np.linalg.solve(contrast @ covariance @ contrast.T, difference)
    assert statistic == pytest.approx(2.5340, abs=5e-5)


def naive(labels: np.ndarray, a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """Difference and variance by the definitions, pair by pair: DeLong et al. 1988, eqs. 1 to 6."""
    cases, controls = np.flatnonzero(labels == 1), np.flatnonzero(labels == 0)

    def psi(scores: np.ndarray, i: int, j: int) -> float:
        return 1.0 if scores[i] > scores[j] else 0.5 if scores[i] == scores[j] else 0.0

    v10 = [[sum(psi(s, i, j) for j in controls) / len(controls) for i in cases] for s in (a, b)]
    v01 = [[sum(psi(s, i, j) for i in cases) / len(cases) for j in controls] for s in (a, b)]
    areas = [sum(row) / len(cases) for row in v10]
    s10, s01 = (
        [
            [
                sum((x - areas[r]) * (y - areas[s]) for x, y in zip(v[r], v[s], strict=True)) / (len(v[0]) - 1)
                for s in (0, 1)
            ]
            for r in (0, 1)
        ]
        for v in (v10, v01)
    )
    total = [[s10[r][s] / len(cases) + s01[r][s] / len(controls) for s in (0, 1)] for r in (0, 1)]
    return areas[0] - areas[1], total[0][0] + total[1][1] - 2 * total[0][1]


@settings(deadline=None)  # a busy machine is no fault
@given(st.integers(0, 2**32 - 1), st.integers(0, 16), st.integers(2, 9))
def test_the_fast_form_equals_the_definition(seed: int, count: int, levels: int) -> None:
    rng = np.random.default_rng(seed)
    labels = np.r_[0, 0, 1, 1, rng.integers(0, 2, count)]
    a, b = rng.integers(0, levels, (2, len(labels)))
    found = delong_test(labels, a, b)
    difference, variance = naive(labels, a, b)
    assert found.difference == pytest.approx(difference, abs=1e-12)
    assert found.variance == pytest.approx(variance, abs=1e-12)
    assert [found.auc_a, found.auc_b] == pytest.approx([auroc(labels, a)[0], auroc(labels, b)[0]], abs=1e-12)
    if found.variance > 0:
        assert found.z == found.difference / math.sqrt(found.variance)
    turned = delong_test(labels, b, a)
    assert (turned.z, turned.p) == pytest.approx((-found.z, found.p), abs=1e-12)


def test_p_values_are_uniform_where_there_is_no_difference() -> None:
    rng = np.random.default_rng(0)
    small = 0
    for _ in range(1000):
        labels = np.r_[np.zeros(60, int), np.ones(40, int)]
        common = labels + rng.normal(size=100)
        a, b = common + rng.normal(size=(2, 100))
        small += delong_test(labels, a, b).p < 0.05
    assert 0.03 <= small / 1000 <= 0.07


def test_scores_in_the_same_order_do_not_differ() -> None:
    rng = np.random.default_rng(1)
    labels, scores = rng.integers(0, 2, 30), rng.normal(size=30)
    found = delong_test(labels, scores, np.exp(scores))
    assert (found.difference, found.variance, found.z, found.p) == (0, 0, 0, 1)
    labels = np.array([0, 0, 1, 1])
    sure = delong_test(labels, labels, -labels)
    assert (sure.difference, sure.variance, sure.z, sure.p) == (1, 0, math.inf, 0)


def test_too_few_of_a_class_have_areas_and_no_test() -> None:
    found = delong_test(np.array([0, 0, 1, -1]), np.array([1, 2, 3, 9]), np.array([3, 2, 1, 9]))
    assert (found.auc_a, found.auc_b, found.difference) == (1, 0, 1)
    assert np.isnan([found.variance, found.z, found.p]).all()
    assert np.isnan(delong_test(np.zeros(3), np.arange(3), np.arange(3)).auc_a)


def test_unknown_cases_count_neither_way_and_nan_is_refused() -> None:
    labels, a, b = np.array([0, 0, 1, 1, -1]), np.array([1, 3, 2, 4, np.nan]), np.array([2, 1, 3, 4, 0.0])
    assert delong_test(labels, a, b) == delong_test(labels[:4], a[:4], b[:4])
    with pytest.raises(XLIPError, match="1 of 4 are not finite"):
        delong_test(labels, np.array([1, np.inf, 2, 4, 0]), b)
