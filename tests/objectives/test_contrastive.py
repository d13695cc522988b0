from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tiny import context_of, tiny_batch, tiny_model
from xlip.objectives.blocks import blockwise
from xlip.objectives.contrastive import Contrastive, _block, both_ways, info_nce, positive_keys, positives
from xlip.study.kinds import kinds


def naive_positives(texts, labels) -> np.ndarray:
    """Who is a positive of whom, from sets: equal texts, or equal non-empty sets of present kinds."""
    kinds = [{kind for kind, state in enumerate(row) if state == 1} for row in labels]
    return np.array(
        [
            [x == y or (bool(a) and a == b) for y, b in zip(texts, kinds, strict=True)]
            for x, a in zip(texts, kinds, strict=True)
        ]
    )


def naive_info_nce(queries, candidates, positive, scale):
    """Khosla et al. 2020, eq. 2, with loops."""
    total = 0.0
    for query, wanted in zip(queries, positive, strict=True):
        logits = [scale * float(np.dot(query, candidate)) for candidate in candidates]
        log_sum = np.log(sum(np.exp(value) for value in logits))
        total += -sum(logits[j] - log_sum for j in np.flatnonzero(wanted)) / wanted.sum()
    return total


@st.composite
def rows_of_kinds(draw) -> tuple[np.ndarray, np.ndarray]:
    """Texts (M,) and labels (M, K) of 1 to 200 kinds: equal, or different in a kind or two."""
    count, kinds = draw(st.integers(1, 9)), draw(st.one_of(st.integers(1, 200), st.integers(62, 66)))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    base = generator.choice([-1, 0, 1, 2], kinds, p=draw(st.sampled_from([[0.9, 0.1, 0, 0], [0.3, 0.3, 0.3, 0.1]])))
    labels = np.tile(base, (count, 1))
    for row in labels:
        for kind in draw(
            st.lists(st.sampled_from(sorted({0, *range(max(kinds - 4, 0), kinds), min(63, kinds - 1)})), max_size=2)
        ):
            row[kind] = draw(st.sampled_from([-1, 0, 1, 2]))
        if kinds > 64 and draw(st.booleans()):  # a whole number of words further, or nearly
            kind, step = draw(st.integers(0, kinds - 65)), draw(st.integers(62, 64))
            row[[kind, kind + step]] = row[[kind + step, kind]]
    return generator.integers(0, draw(st.integers(1, 9)), count), labels.astype(np.int8)


@settings(deadline=None)
@given(rows_of_kinds(), st.integers(1, 10))
def test_positives_are_equal_texts_or_equal_sets_of_kinds_however_many_kinds(rows, chunk: int) -> None:
    texts, labels = rows
    keys = positive_keys(torch.from_numpy(texts), torch.from_numpy(labels))
    expected = naive_positives(texts, labels)
    assert np.array_equal(positives(keys, keys).numpy(), expected)
    rng = np.random.default_rng(0)
    image, text = rng.normal(size=(2, len(texts), 3))
    made = info_nce(torch.tensor(image), torch.tensor(text), keys, keys, torch.tensor(2.0), chunk)
    assert float(made.detach()) == pytest.approx(naive_info_nce(image, text, expected, 2.0), rel=1e-5, abs=1e-5)


def test_the_loss_is_the_mean_of_both_directions() -> None:
    rng = np.random.default_rng(0)
    image, text = rng.normal(size=(2, 6, 3))
    texts, labels = np.arange(6), np.array([[0, 0], [1, 0], [1, 0], [0, 1], [1, 1], [0, 0]])
    keys, wanted = positive_keys(torch.tensor(texts), torch.tensor(labels)), naive_positives(texts, labels)
    term = both_ways(torch.tensor(image), torch.tensor(text), keys, torch.tensor(2.0), 4)
    both = naive_info_nce(image, text, wanted, 2.0) + naive_info_nce(text, image, wanted, 2.0)
    assert float(term.total.detach()) == pytest.approx(both / 2, rel=1e-5)
    assert float(term.count) == 6


def test_every_kind_of_the_list_alone_and_every_pair_of_them_is_a_set_of_its_own() -> None:
    count = max(len(kinds()), 64 + 2)
    single = torch.eye(count, dtype=torch.int8)
    first, second = torch.triu_indices(count, count, 1)
    labels = torch.cat([single, single[first] + single[second]])
    keys = positive_keys(torch.arange(len(labels)), labels)
    assert len(keys[:, 1:].unique(dim=0)) == len(labels)
    assert positives(keys[:200], keys).sum() == 200


@pytest.mark.parametrize("chunk", [2, 100])
def test_info_nce_equals_the_naive_loop(chunk: int) -> None:
    rng = np.random.default_rng(0)
    image, text = rng.normal(size=(2, 7, 5))
    texts = np.array([0, 1, 0, 2, 3, 4, 5])
    labels = np.array([[0, 0, 0], [1, 1, 0], [0, 0, 1], [1, 1, 0], [0, 0, 0], [1, 0, 0], [0, 0, 0]])
    keys = positive_keys(torch.tensor(texts), torch.tensor(labels))
    made = info_nce(torch.tensor(image), torch.tensor(text), keys, keys, torch.tensor(3.0), chunk)
    assert float(made.detach()) == pytest.approx(
        naive_info_nce(image, text, naive_positives(texts, labels), 3.0), rel=1e-5
    )


def test_only_present_kinds_make_a_set_and_no_kind_shares_nothing() -> None:
    labels = torch.tensor([[1, 0, -1], [1, 2, 0], [0, 0, 0], [-1, -1, -1], [2, 0, 0]], dtype=torch.int8)
    keys = positive_keys(torch.tensor([5, 6, 7, 7, 8]), labels)
    same = {(0, 1), (1, 0), (2, 3), (3, 2), *((row, row) for row in range(5))}
    assert {tuple(pair) for pair in positives(keys, keys).nonzero().tolist()} == same
    assert positive_keys(torch.tensor([5, 6]), labels[:2, :0]).tolist() == [[5, 0], [6, 0]]


def test_the_term_uses_pairs_only_and_has_gradients_in_both_towers() -> None:
    model = tiny_model()
    term = Contrastive()(context_of(model, tiny_batch(model), Contrastive()))
    assert float(term.count) == 4
    term.total.backward()
    assert model.image_head.weight.grad is not None
    assert model.text_head.weight.grad.abs().sum() > 0


def test_the_chunked_loss_has_the_same_gradient() -> None:
    generator = torch.Generator().manual_seed(0)
    gradients = []
    keys = torch.stack([torch.arange(6), torch.zeros(6, dtype=torch.long)], 1)
    start = torch.randn(6, 4, generator=generator)
    for chunk in (2, 6):
        image = start.clone().requires_grad_()
        info_nce(image, start.flip(0), keys, keys, torch.tensor(2.0), chunk).backward()
        gradients.append(image.grad)
    assert torch.allclose(*gradients, atol=1e-6)


@pytest.mark.parametrize("rows", [1, 3, 100])
def test_blocks_give_the_value_and_every_gradient_of_the_whole_matrix(rows: int) -> None:
    torch.manual_seed(0)
    keys = torch.stack([torch.tensor([1, 2, 1, 3, 4, 5]), torch.tensor([0, 1, 2, 1, 0, 0])], 1)
    found = []
    for blocks in (False, True):
        first, second = (torch.nn.functional.normalize(torch.randn(6, 4, generator=g), dim=1).requires_grad_()
                         for g in (torch.Generator().manual_seed(seed) for seed in (1, 2)))  # fmt: skip
        scale = torch.tensor(3.0, requires_grad=True)
        against = torch.tensor([0.1, -1e4, 2.0, 0.3, -3.0, 1.0], requires_grad=True)
        parts = (first, second, keys, keys, scale, against)
        total = blockwise(*parts, positives, rows) if blocks else _block(*parts)
        (2.5 * total).backward()
        found.append([total.detach(), *(one.grad for one in (first, second, scale, against))])
    for one, other in zip(*found, strict=True):
        assert torch.allclose(other, one, rtol=1e-5, atol=1e-6)
