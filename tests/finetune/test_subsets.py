from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xlip.finetune.subsets import folds, label_share, share_of_patients

SETTINGS = settings(deadline=None, max_examples=40)


def cohort(seed: int, images: int = 300, kinds: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Patients with one to a few images; kinds from frequent to rare; some labels unknown."""
    rng = np.random.default_rng(seed)
    patients = np.sort(rng.integers(0, images // 2, images)).astype(str)
    targets = (rng.random((images, kinds)) < [0.4, 0.2, 0.1, 0.03]).astype(np.int8)
    targets[rng.random(targets.shape) < 0.1] = -1
    return patients, targets


def splits_a_patient(patients: np.ndarray, chosen: np.ndarray) -> bool:
    return bool(set(patients[chosen]) & set(patients[~chosen]))


@SETTINGS
@given(seed=st.integers(0, 999), share=st.floats(0.01, 0.99))
def test_a_share_holds_whole_patients_and_is_repeatable(seed: int, share: float) -> None:
    patients, targets = cohort(seed)
    chosen = label_share(patients, targets, share, seed)
    assert not splits_a_patient(patients, chosen)
    assert 2 <= chosen.sum() <= max(2, round(share * len(patients)))
    assert (chosen == label_share(patients, targets, share, seed)).all()


@SETTINGS
@given(seed=st.integers(0, 999), share=st.sampled_from([0.1, 0.3, 0.5]))
def test_a_share_has_both_classes_of_every_kind_where_it_has_room(seed: int, share: float) -> None:
    patients, targets = cohort(seed)
    chosen = label_share(patients, targets, share, seed)
    sizes = np.unique(patients, return_counts=True)[1]
    assert chosen.sum() > share * len(patients) - sizes.max()
    for state in (0, 1):
        assert ((targets[chosen] == state).any(0) == (targets == state).any(0)).all()


def test_a_share_of_a_few_images_prefers_patients_that_show_much() -> None:
    targets = np.zeros((100, 6), np.int8)
    targets[7] = 1
    targets[np.arange(40, 46), np.arange(6)] = 1
    for seed in range(5):
        chosen = label_share(np.arange(100), targets, 0.02, seed)
        assert chosen[7]
        assert chosen.sum() == 2


def test_seeds_draw_different_images_and_the_whole_is_the_whole() -> None:
    patients, targets = cohort(0)
    draws = [label_share(patients, targets, 0.1, seed) for seed in range(3)]
    assert len({draw.tobytes() for draw in draws}) == 3
    assert label_share(patients, targets, 1.0, 0).all()


@SETTINGS
@given(seed=st.integers(0, 999))
def test_a_validation_part_is_stratified(seed: int) -> None:
    patients, targets = cohort(seed, images=2000)
    patients = np.arange(2000)
    chosen = share_of_patients(patients, targets, 0.2, seed)
    assert abs(chosen.mean() - 0.2) < 0.01
    # The rarest kind is the first stratum: its share is exact to one patient.
    rare = (targets == 1)[:, (targets == 1).sum(0).argmin()]
    assert abs(chosen[rare].sum() - 0.2 * rare.sum()) <= 1
    assert not share_of_patients(patients, targets, 0.0, seed).any()


@pytest.mark.parametrize("count", [2, 5])
def test_folds_are_disjoint_stratified_and_keep_patients_together(count: int) -> None:
    patients, targets = cohort(1, images=1000)
    fold = folds(patients, targets, count, seed=0)
    assert sorted(set(fold.tolist())) == list(range(count))
    for number in range(count):
        assert not splits_a_patient(patients, fold == number)
        rare = (targets[:, 3] == 1)[fold == number].sum()
        assert abs(rare - (targets[:, 3] == 1).sum() / count) <= 3
    assert (fold == folds(patients, targets, count, seed=0)).all()
