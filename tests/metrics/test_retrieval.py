from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xlip.errors import XLIPError
from xlip.metrics.retrieval import first_ranks, median_rank, precision_at, taken

SIMILARITY = np.array([[0.9, 0.1, 0.5], [0.2, 0.3, 0.8], [0.4, 0.4, 0.4]])


def test_ranks_by_hand() -> None:
    ranks = first_ranks(SIMILARITY, np.eye(3, dtype=bool))
    assert ranks.tolist() == [1, 2, 3]  # the third query likes all alike: nothing is gained by that
    assert [(ranks <= k).mean() for k in (1, 2, 5)] == pytest.approx([1 / 3, 2 / 3, 1])
    assert median_rank(ranks) == 2
    both = np.eye(3, dtype=bool) | np.eye(3, k=1, dtype=bool)
    assert first_ranks(SIMILARITY, both).tolist() == [1, 1, 3]


@settings(deadline=None)  # a busy machine is no fault
@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.integers(1, 7), st.integers(1, 9))
def test_ranks_equal_a_sort_that_puts_irrelevant_items_first(seed: int, queries: int, items: int, levels: int) -> None:
    rng = np.random.default_rng(seed)
    similarity, relevant = rng.integers(0, levels, (queries, items)), rng.random((queries, items)) < 0.4
    relevant[np.arange(queries), rng.integers(0, items, queries)] = True
    for row, rank in enumerate(first_ranks(similarity, relevant)):
        order = sorted(range(items), key=lambda item: (-similarity[row, item], relevant[row, item]))
        assert rank == 1 + min(place for place, item in enumerate(order) if relevant[row, item])


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**32 - 1), st.integers(1, 3), st.integers(1, 5), st.integers(1, 4), st.integers(1, 7))
def test_precision_is_the_mean_over_all_orders_of_ties(
    seed: int, queries: int, items: int, levels: int, k: int
) -> None:
    rng = np.random.default_rng(seed)
    similarity, relevant = rng.integers(0, levels, (queries, items)), rng.random((queries, items)) < 0.4
    expected = []
    for row in range(queries):
        orders = [
            order
            for order in itertools.permutations(range(items))
            if all(similarity[row, a] >= similarity[row, b] for a, b in itertools.pairwise(order))
        ]
        expected.append(np.mean([relevant[row, list(order[:k])].mean() for order in orders]))
    assert precision_at(similarity, relevant, k) == pytest.approx(np.mean(expected), abs=1e-12)


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(1, 7), st.integers(1, 4), st.integers(1, 9))
def test_what_is_taken_are_the_most_similar_items(seed: int, queries: int, items: int, levels: int, k: int) -> None:
    similarity = np.random.default_rng(seed).integers(0, levels, (queries, items))
    weights = taken(similarity, k)
    assert weights.sum(1) == pytest.approx(np.ones(queries))
    assert weights.max() <= 1 / min(k, items) + 1e-12
    for row, found in zip(similarity, weights, strict=True):
        least = row[found > 0].min()
        assert found[row > least] == pytest.approx(1 / min(k, items))
        assert not found[row < least].any()
        assert len(set(found[row == least])) == 1


def test_nothing_to_rank_has_no_figure() -> None:
    empty = np.zeros((0, 3))
    ranks = first_ranks(empty, empty.astype(bool))
    assert np.isnan([median_rank(ranks), precision_at(empty, empty.astype(bool), 1)]).all()


def test_faults_are_refused() -> None:
    truth = np.eye(3, dtype=bool)
    with pytest.raises(XLIPError, match="query 1 has no relevant item"):
        first_ranks(SIMILARITY, truth & (np.arange(3) != 1)[:, None])
    with pytest.raises(XLIPError, match="1 similarities are not finite"):
        first_ranks(np.where(truth & (SIMILARITY > 0.8), np.nan, SIMILARITY), truth)
    with pytest.raises(XLIPError, match=r"similarities of shape \(3, 3\), relevance of shape \(2, 3\)"):
        precision_at(SIMILARITY, truth[:2], 1)
    with pytest.raises(XLIPError, match="expected k of at least 1, got 0"):
        precision_at(SIMILARITY, truth, 0)
