from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xlip.errors import XLIPError
from xlip.metrics.auroc import auroc
from xlip.metrics.comparison import bootstrap_p, holm, paired_bootstrap
from xlip.metrics.delong import delong_test
from xlip.metrics.kinds import MIN_CASES


def two_models(seed: int, count: int, kinds: int, better: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = (rng.random((count, kinds)) < 0.4).astype(np.int8)
    common = rng.normal(size=labels.shape)
    a = common + (1 + better) * labels + rng.normal(size=labels.shape)
    return labels, a, common + labels + rng.normal(size=labels.shape)


def test_areas_and_differences_are_those_of_the_models() -> None:
    labels, a, b = two_models(0, 150, 3, 0.5)
    labels[:, 2] = 0
    labels[: MIN_CASES - 1, 2] = 1
    found = paired_bootstrap(labels, a, b, np.arange(150), replicates=200)
    for kind, row in enumerate(found.per_kind):
        areas = [auroc(labels[:, kind], scores[:, kind])[0] for scores in (a, b)]
        assert [row.auroc_a, row.auroc_b] == areas
        assert row.difference == areas[0] - areas[1]
        assert row.ci95[0] < row.difference < row.ci95[1]
        assert (row.positives, row.negatives) == ((labels[:, kind] == 1).sum(), (labels[:, kind] == 0).sum())
    assert [row.enough for row in found.per_kind] == [True, True, False]
    expected = np.mean([row.difference for row in found.per_kind[:2]])
    assert found.macro.difference == pytest.approx(expected, abs=1e-12)
    assert found.macro.positives == sum(row.positives for row in found.per_kind[:2])


def test_the_interval_is_that_of_a_paired_bootstrap_written_out() -> None:
    labels, a, b = two_models(1, 60, 1, 0.5)
    patients = np.random.default_rng(0).integers(0, 20, 60)
    members = [np.flatnonzero(patients == patient) for patient in np.unique(patients)]
    rng = np.random.default_rng(5)
    differences = []
    for _ in range(40):
        rows = np.concatenate([members[drawn] for drawn in rng.integers(0, len(members), len(members))])
        differences.append(np.subtract(*(auroc(labels[rows, 0], scores[rows, 0])[0] for scores in (a, b))))
    row = paired_bootstrap(labels, a, b, patients, replicates=40, seed=5).per_kind[0]
    assert row.ci95 == pytest.approx(np.percentile(differences, (2.5, 97.5)), abs=1e-12)
    assert row.p == pytest.approx(bootstrap_p(np.array(differences)))


def test_several_trainings_count_with_the_mean_of_their_areas() -> None:
    labels, a, b = two_models(4, 90, 2, 0.5)
    runs = np.stack([a, b, a + b])
    patients = np.random.default_rng(0).integers(0, 30, 90)
    together = paired_bootstrap(labels, runs, b, patients, replicates=60, seed=3)
    apart = [paired_bootstrap(labels, run, b, patients, replicates=60, seed=3) for run in runs]
    assert together.macro.auroc_a == pytest.approx(np.mean([one.macro.auroc_a for one in apart]), abs=1e-12)
    assert together.macro.auroc_b == apart[0].macro.auroc_b
    same = paired_bootstrap(labels, runs[[0, 0]], b, patients, replicates=60, seed=3)
    assert same.macro.ci95 == pytest.approx(apart[0].macro.ci95, abs=1e-12)
    # A training and its mirror image cancel in every replicate.
    mirrored = paired_bootstrap(labels, np.stack([a, -a]), np.zeros_like(a), patients, replicates=60)
    assert mirrored.macro.ci95 == pytest.approx((0.0, 0.0), abs=1e-12)


def test_pairing_makes_the_interval_narrow() -> None:
    labels, a, _ = two_models(2, 300, 1, 0)
    nearly = a + 0.05 * np.random.default_rng(3).normal(size=a.shape)
    low, high = paired_bootstrap(labels, a, nearly, np.arange(300)).macro.ci95
    assert high - low < 0.02  # of one model alone it is about 0.1


def test_bootstrap_and_delong_agree_where_images_are_patients() -> None:
    for seed in range(5):
        labels, a, b = two_models(seed, 400, 1, 0.15)
        found = paired_bootstrap(labels, a, b, np.arange(400), replicates=2000).per_kind[0]
        assert found.p == pytest.approx(delong_test(labels[:, 0], a[:, 0], b[:, 0]).p, abs=0.05)


def test_no_difference_is_found_about_as_seldom_as_it_says() -> None:
    found = 0
    for seed in range(200):
        labels, a, b = two_models(seed, 100, 1, 0)
        row = paired_bootstrap(labels, a, b, np.arange(100), replicates=200, seed=seed).per_kind[0]
        found += row.p < 0.05
        assert (row.p < 0.06) or row.ci95[0] <= 0 <= row.ci95[1]
    assert 0.01 <= found / 200 <= 0.10


def test_copies_of_a_patient_tell_nothing_new() -> None:
    labels, a, b = two_models(4, 80, 1, 0.3)
    many = [array.repeat(9, 0) for array in (labels, a, b, np.arange(80))]
    once, same = paired_bootstrap(labels, a, b, np.arange(80)), paired_bootstrap(*many)
    assert same.macro.ci95 == pytest.approx(once.macro.ci95, abs=1e-12)
    assert same.macro.p == once.macro.p


def test_a_model_does_not_differ_from_itself_and_signs_turn() -> None:
    labels, a, b = two_models(5, 100, 2, 0.4)
    same = paired_bootstrap(labels, a, np.exp(a), np.arange(100), replicates=50)
    for row in (*same.per_kind, same.macro):
        assert (row.difference, row.ci95, row.p) == (0, (0, 0), 1)
    one, other = (paired_bootstrap(labels, *pair, np.arange(100), replicates=50).macro for pair in ((a, b), (b, a)))
    assert one.ci95 == pytest.approx([-bound for bound in reversed(other.ci95)], abs=1e-12)
    assert one.p == other.p


@settings(deadline=None)  # a busy machine is no fault
@given(st.lists(st.floats(-1, 1), min_size=1, max_size=50))
def test_p_lies_above_zero_and_does_not_mind_the_sign(values: list[float]) -> None:
    sample = np.array(values)
    assert 0 < bootstrap_p(sample) <= 1
    assert bootstrap_p(sample) == bootstrap_p(-sample)
    assert bootstrap_p(np.r_[sample, np.nan]) == bootstrap_p(sample)
    assert bootstrap_p(np.abs(sample) + 1) == pytest.approx(min(1, 2 / (len(sample) + 1)))


def test_nothing_to_compare_is_nan_and_a_nan_score_is_refused() -> None:
    labels, a, b = two_models(6, 12, 1, 0)
    labels[:] = 1
    found = paired_bootstrap(labels, a, b, np.arange(12), replicates=5)
    for row in (*found.per_kind, found.macro):
        assert np.isnan([row.difference, *row.ci95, row.p]).all()
    b[0] = np.nan
    with pytest.raises(XLIPError, match="1 of 12 are not finite"):
        paired_bootstrap(labels, a, b, np.arange(12))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_equals_the_step_down_procedure(values: list[float]) -> None:
    """A hypothesis is rejected at level a exactly where Holm's steps, taken one by one, reach it."""
    adjusted = holm(values)
    for level in (0.01, 0.05, 0.3):
        rejected: set[int] = set()
        for step, place in enumerate(sorted(range(len(values)), key=lambda place: values[place])):
            if values[place] * (len(values) - step) > level:
                break
            rejected.add(place)
        assert {place for place, value in enumerate(adjusted) if value <= level} == rejected


def test_holm_leaves_what_is_unknown_out() -> None:
    assert holm([0.01, float("nan"), 0.03])[::2] == [0.02, 0.03]
    assert np.isnan(holm([float("nan")])[0])
    assert holm([]) == []
