from __future__ import annotations

import numpy as np
import pytest
import torch

from tiny import context_of, tiny_batch, tiny_model
from xlip.objectives.contrastive import Contrastive, info_nce, positive_keys


def naive_info_nce(queries, candidates, query_keys, candidate_keys, scale):
    """Khosla et al. 2020, eq. 2, with loops."""
    total = 0.0
    for query, key in zip(queries, query_keys, strict=True):
        logits = [scale * float(np.dot(query, candidate)) for candidate in candidates]
        log_sum = np.log(sum(np.exp(value) for value in logits))
        positives = [
            j for j, other in enumerate(candidate_keys) if other[0] == key[0] or (key[1] != 0 and other[1] == key[1])
        ]
        total += -sum(logits[j] - log_sum for j in positives) / len(positives)
    return total


@pytest.mark.parametrize("chunk", [2, 100])
def test_info_nce_equals_the_naive_loop(chunk: int) -> None:
    rng = np.random.default_rng(0)
    image, text = rng.normal(size=(2, 7, 5))
    keys = np.array([[0, 0], [1, 3], [0, 4], [2, 3], [3, 0], [4, 8], [5, 0]])
    made = info_nce(*(torch.tensor(a) for a in (image, text, keys, keys)), torch.tensor(3.0), chunk)
    assert float(made.detach()) == pytest.approx(naive_info_nce(image, text, keys, keys, 3.0), rel=1e-5)


def test_equal_texts_and_equal_kind_sets_share_a_key_and_no_kind_shares_nothing() -> None:
    labels = torch.tensor([[1, 0, -1], [1, 2, 0], [0, 0, 0], [-1, -1, -1]], dtype=torch.int8)
    keys = positive_keys(torch.tensor([5, 6, 7, 7]), labels)
    assert keys[0, 1] == keys[1, 1] != 0
    assert keys[2, 1] == keys[3, 1] == 0
    assert keys[2, 0] == keys[3, 0]


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
