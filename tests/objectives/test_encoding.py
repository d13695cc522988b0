"""Texts in buckets, equal ones once: what comes back is what each text gives alone."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tiny import tiny_batch, tiny_model
from xlip.batches.text_batch import TextBatch
from xlip.objectives.encoding import PASS, STRIDE, distinct, encode_together, length_buckets


def test_every_text_comes_back_as_it_is_encoded_alone() -> None:
    model = tiny_model().eval()
    batch = tiny_batch(model)
    inputs = {"reports": batch.reports, "prompts": batch.prompts, "again": batch.prompts[:2], "none": batch.prompts[:0]}
    with torch.no_grad():
        found = encode_together(model, inputs)
        for name, texts in inputs.items():
            assert len(found[name].embedding) == len(texts)
            for row in range(len(texts)):
                alone = model.texts(texts[row : row + 1])
                length = int(texts.lengths[row])
                assert torch.allclose(found[name].embedding[row], alone.embedding[0], atol=1e-5)
                assert torch.allclose(found[name].tokens[row, :length], alone.tokens[0, :length], atol=1e-5)


def test_equal_texts_are_encoded_once_and_changed_ones_are_no_longer_equal() -> None:
    model, rows = tiny_model().eval(), []
    batch = tiny_batch(model)
    model.text_tower.register_forward_hook(lambda module, inputs, output: rows.append(len(inputs[0])))
    twice = {"a": batch.prompts, "b": TextBatch.concatenate([batch.prompts, batch.prompts])}
    encode_together(model, twice)
    assert sum(rows) == len(batch.prompts)
    rows.clear()
    encode_together(model, {"a": batch.prompts, "b": batch.prompts.with_ids(batch.prompts.ids.clone())})
    assert sum(rows) == 2 * len(batch.prompts)


@settings(deadline=None)
@given(st.lists(st.integers(0, 4), max_size=30))
def test_distinct_rows_stand_for_all(keys: list[int]) -> None:
    rows, place = distinct(torch.tensor(keys, dtype=torch.long))
    shown = [int(rows[number]) for number in place.tolist()]
    for row, standing in enumerate(shown):
        assert standing == row if keys[row] == 0 else keys[standing] == keys[row]
    assert len(rows) == keys.count(0) + len({key for key in keys if key})


def cost(lengths: torch.Tensor, buckets: list[torch.Tensor]) -> int:
    longest = [int(-(-lengths[one].max() // STRIDE) * STRIDE) * len(one) for one in buckets]
    return sum(longest) + PASS * len(buckets)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 128), min_size=1, max_size=40), st.randoms(use_true_random=False))
def test_buckets_hold_each_row_once_and_no_other_choice_is_cheaper(lengths: list[int], chance) -> None:
    given_lengths = torch.tensor(lengths)
    buckets = length_buckets(given_lengths)
    assert sorted(torch.cat(buckets).tolist()) == list(range(len(lengths)))
    assert len(buckets) <= 4
    order = given_lengths.argsort(descending=True)
    for _ in range(10):  # any other way to cut the sorted lengths
        cuts = sorted(chance.sample(range(1, len(lengths)), min(chance.randint(0, 3), len(lengths) - 1)))
        other = [order[a:b] for a, b in zip([0, *cuts], [*cuts, len(lengths)], strict=True)]
        assert cost(given_lengths, buckets) <= cost(given_lengths, other)


def test_texts_of_clearly_different_lengths_are_padded_apart_in_at_most_four_buckets() -> None:
    lengths = torch.tensor([8] * 300 + [128] * 100 + [40] * 200 + [72] * 150 + [104] * 120)
    buckets = length_buckets(lengths)
    assert [sorted(set(lengths[one].tolist())) for one in buckets] == [[104, 128], [72], [40], [8]]
    assert len(length_buckets(torch.tensor([16] * 4 + [24] * 4))) == 1  # a further pass costs more than it saves
