from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from xlip.errors import XLIPError
from xlip.metrics.auroc import auroc
from xlip.metrics.sanity import _shuffled, permuted_labels, swapped_prompts
from xlip.results.classification import sanity_checks
from xlip.results.result import Predictions


def predictions(seed: int = 0, count: int = 200) -> Predictions:
    rng = np.random.default_rng(seed)
    labels = (rng.random((count, 3)) < (0.5, 0.2, 0.05)).astype(np.int8)
    labels[:20, 0] = -1
    scores = 1 / (1 + np.exp(-np.round(rng.normal(2 * labels), 1)))  # rounded: there are ties
    ids = tuple(str(row) for row in range(count))
    return Predictions(("Effusion", "Edema", "Hernia"), ids, np.arange(count), labels, scores)


@pytest.mark.parametrize("seed", range(5))
def test_permuted_labels_give_a_half_within_the_interval(seed: int) -> None:
    found = permuted_labels(predictions(seed), seed=seed)
    assert found.holds
    assert found.ci95[0] <= found.macro_auroc <= found.ci95[1]
    assert found.macro_auroc == pytest.approx(0.5, abs=0.015)
    assert 0.05 < found.ci95[1] - found.ci95[0] < 0.3


def test_shuffled_areas_are_areas_of_shuffled_labels() -> None:
    given = predictions()
    truth, scores = given.labels[20:, 0] == 1, given.scores[20:, 0]
    found = _shuffled(truth, scores, 30, np.random.default_rng(4))
    rng = np.random.default_rng(4)
    for area in found:
        labels = np.zeros(len(scores), int)
        labels[rng.permutation(len(scores))[: truth.sum()]] = 1
        assert area == pytest.approx(auroc(labels, scores)[0], abs=1e-12)


def test_a_faulty_measure_does_not_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xlip.metrics.sanity._shuffled", lambda *_: np.linspace(0.6, 0.9, 200))
    assert not permuted_labels(predictions()).holds


def test_kinds_of_one_class_take_no_part() -> None:
    given = predictions()
    one = replace(given, labels=np.c_[given.labels[:, :1], np.zeros((200, 2), np.int8)])
    alone = replace(given, kinds=given.kinds[:1], labels=given.labels[:, :1], scores=given.scores[:, :1])
    assert permuted_labels(one) == permuted_labels(alone)
    none = permuted_labels(replace(given, labels=np.zeros((200, 3), np.int8)))
    assert np.isnan(none.macro_auroc)
    assert not none.holds


def test_swapped_prompts_give_one_minus_the_area() -> None:
    given = predictions()
    found = swapped_prompts(given, 1 - given.scores)
    assert found.holds
    assert found.largest_deviation == pytest.approx(0, abs=1e-9)
    same = swapped_prompts(given, given.scores)  # what happens when the swap does nothing
    assert not same.holds
    areas = [auroc(given.labels[:, column], given.scores[:, column])[0] for column in range(3)]
    assert same.largest_deviation == pytest.approx(max(abs(2 * area - 1) for area in areas))
    assert same.kind == given.kinds[int(np.argmax(areas))]


def test_one_kind_that_is_not_swapped_is_named() -> None:
    given = predictions()
    swapped = 1 - given.scores
    swapped[:, 1] = given.scores[:, 1]
    found = swapped_prompts(given, swapped)
    assert (found.holds, found.kind) == (False, "Edema")
    assert swapped_prompts(given, swapped, tolerance=1).holds


def test_the_checks_are_strict_json() -> None:
    given = predictions()
    checks = sanity_checks(given, 1 - given.scores).to_json()
    assert {name: check["holds"] for name, check in checks.items()} == {
        "permuted_labels": True,
        "swapped_prompts": True,
    }
    none = replace(given, labels=np.zeros((200, 3), np.int8))
    empty = sanity_checks(none, 1 - given.scores).to_json()
    assert empty["permuted_labels"] == {"holds": False, "macro_auroc": None, "ci95": [None, None]}
    assert empty["swapped_prompts"] == {"holds": False, "largest_deviation": None, "kind": ""}
    assert set(sanity_checks(given).to_json()) == {"permuted_labels"}


def test_a_nan_is_refused() -> None:
    given = predictions()
    given.scores[50, 1] = np.nan
    with pytest.raises(XLIPError, match="1 of 200 are not finite"):
        permuted_labels(given)
