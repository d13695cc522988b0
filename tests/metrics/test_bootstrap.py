from __future__ import annotations

import numpy as np
import pytest

from xlip.metrics import bootstrap
from xlip.metrics.bootstrap import interval, patient_draws, patient_numbers


def test_every_replicate_draws_as_many_patients_as_there_are() -> None:
    draws = np.concatenate(list(patient_draws(7, 4000, seed=0)))
    assert draws.shape == (4000, 7)
    assert (draws.sum(1) == 7).all()
    assert draws.mean(0) == pytest.approx(np.ones(7), abs=0.06)
    assert (draws == 0).mean() == pytest.approx((6 / 7) ** 7, abs=0.01)  # as often as seven draws all miss one


@pytest.mark.parametrize("size", [1, 64, 1 << 20])
def test_draws_do_not_depend_on_the_size_of_the_chunks(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = np.concatenate(list(patient_draws(5, 9, seed=3)))
    monkeypatch.setattr(bootstrap, "CHUNK_BYTES", size)
    chunks = list(patient_draws(5, 9, seed=3))
    assert [len(chunk) for chunk in chunks] == {1: [1] * 9, 64: [1] * 9, 1 << 20: [9]}[size]
    assert np.array_equal(np.concatenate(chunks), whole)
    assert np.array_equal(np.concatenate(list(patient_draws(5, 9, seed=3, cases=3 * 5))), whole)
    assert np.array_equal(np.concatenate(list(patient_draws(5, 2, seed=3))), whole[:2])


def test_chunks_are_as_large_as_the_cases_allow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "CHUNK_BYTES", 8 * 100)
    assert [len(chunk) for chunk in patient_draws(10, 25, seed=0)] == [10, 10, 5]
    assert [len(chunk) for chunk in patient_draws(10, 25, seed=0, cases=50)] == [2] * 12 + [1]


def test_no_patient_gives_no_draw() -> None:
    assert next(patient_draws(0, 3, seed=0)).shape == (3, 0)
    assert list(patient_draws(4, 0, seed=0)) == []


@pytest.mark.parametrize("ids", [["b", "a", "b", "c"], [7, 3, 7, 9]])
def test_patients_are_numbered_by_their_ids(ids: list[object]) -> None:
    numbers, count = patient_numbers(np.array(ids))
    assert (numbers.tolist(), count) == ([1, 0, 1, 2], 3)


def test_the_interval_holds_the_middle_of_what_is_finite() -> None:
    assert interval(np.r_[np.arange(1001.0), np.nan, np.inf]) == (25, 975)
    assert np.isnan(interval(np.array([np.nan]))).all()
