from __future__ import annotations

import numpy as np
import pytest

from xlip.errors import XLIPError
from xlip.metrics import bootstrap
from xlip.metrics.auroc import auprc, auroc
from xlip.metrics.kinds import MIN_CASES, kind_table


def evaluate_kinds(*arrays, **options):
    """The kinds, and the interval of their macro AUROC."""
    table = kind_table(*arrays, **options)
    return table.per_kind, table.macro_ci95


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
    assert kind_table(labels, scores, np.arange(100)).macro_auroc == pytest.approx(
        (measured[0].auroc + measured[2].auroc) / 2, abs=1e-12
    )
    assert interval == evaluate_kinds(labels[:, [0, 2]], scores[:, [0, 2]], np.arange(100))[1]
    assert np.isnan(kind_table(labels[:, 1:2], scores[:, 1:2], np.arange(100)).macro_auroc)
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


def test_the_table_holds_both_areas_their_means_and_their_intervals() -> None:
    labels, scores = cases(6, 200, kinds=3)
    labels[:, 2] = 0
    labels[:3, 2] = 1  # too few for the means
    table = kind_table(labels, scores, np.arange(200), replicates=300)
    for kind, row in enumerate(table.per_kind):
        assert row.auroc == auroc(labels[:, kind], scores[:, kind])[0]
        assert row.auprc == auprc(labels[:, kind], scores[:, kind])
        assert row.auprc_ci95[0] < row.auprc < row.auprc_ci95[1]
        assert row.ci95[0] < row.auroc < row.ci95[1]
    assert table.macro_auroc == np.mean([one.auroc for one in table.per_kind if one.enough])
    assert table.macro_auprc == pytest.approx(np.mean([row.auprc for row in table.per_kind[:2]]), abs=1e-15)
    assert table.macro_auprc_ci95[0] < table.macro_auprc < table.macro_auprc_ci95[1]
    # The mean of two kinds is steadier than either.
    widths = [np.diff(row.auprc_ci95)[0] for row in table.per_kind[:2]]
    assert np.diff(table.macro_auprc_ci95)[0] < min(widths)


def test_the_interval_is_that_of_a_bootstrap_written_out() -> None:
    labels, scores = cases(7, 40)
    patients = np.random.default_rng(0).integers(0, 15, 40)
    labels[:5] = -1
    members = [np.flatnonzero(patients == patient) for patient in np.unique(patients)]
    rng = np.random.default_rng(11)
    areas = []
    for _ in range(50):
        rows = np.concatenate([members[drawn] for drawn in rng.integers(0, len(members), len(members))])
        areas.append(auroc(labels[rows, 0], scores[rows, 0])[0])
    low, high = np.percentile(areas, (2.5, 97.5))
    assert evaluate_kinds(labels, scores, patients, replicates=50, seed=11)[0][0].ci95 == pytest.approx((low, high))


def test_figures_do_not_depend_on_the_size_of_the_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    labels, scores = cases(8, 90, kinds=2)
    whole = kind_table(labels, scores, np.arange(90), replicates=40)
    monkeypatch.setattr(bootstrap, "CHUNK_BYTES", 90 * 8 * 7)
    assert kind_table(labels, scores, np.arange(90), replicates=40) == whole


def test_no_kind_with_enough_cases_has_no_means_and_a_nan_is_refused() -> None:
    labels, scores = cases(9, 12)
    table = kind_table(labels, scores, np.arange(12), replicates=5)
    assert np.isfinite(table.per_kind[0].auroc)
    means = (table.macro_auroc, *table.macro_ci95, table.macro_auprc, *table.macro_auprc_ci95)
    assert np.isnan(means).all()
    scores[3] = np.nan
    with pytest.raises(XLIPError, match="1 of 12 are not finite"):
        kind_table(labels, scores, np.arange(12))


def test_several_trainings_count_with_the_mean_of_their_areas_not_with_their_mean_score() -> None:
    rng = np.random.default_rng(8)
    labels = (rng.random((70, 2)) < 0.4).astype(np.int8)
    runs = labels + 2 * rng.normal(size=(3, 70, 2))
    table = kind_table(labels, runs, np.arange(70), replicates=50)
    each = [kind_table(labels, run, np.arange(70), replicates=50) for run in runs]
    for name in ("macro_auroc", "macro_auprc"):
        assert getattr(table, name) == pytest.approx(np.mean([getattr(one, name) for one in each]), abs=1e-12)
    low, high = table.macro_ci95
    assert low < table.macro_auroc < high
    assert table.macro_auroc < kind_table(labels, runs.mean(0), np.arange(70), replicates=2).macro_auroc
    mirrored = kind_table(labels, np.stack([runs[0], -runs[0]]), np.arange(70), replicates=50)
    assert mirrored.macro_ci95 == pytest.approx((0.5, 0.5), abs=1e-12)
