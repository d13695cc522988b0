from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from xlip.batches.augmentation import Augment
from xlip.batches.draws import normal, row_draws, seed_of, uniform
from xlip.objectives.masking import mask_patches, mask_words

SEEDS = torch.arange(100, 106)


@given(st.integers(0, 6), st.integers(1, 40))
def test_a_row_draws_the_same_in_any_batch_and_at_any_length(cut: int, columns: int) -> None:
    whole = uniform(row_draws(SEEDS, "a"), 6, 50)
    parts = [uniform(row_draws(part, "a"), len(part), columns) for part in (SEEDS[:cut], SEEDS[cut:])]
    assert torch.equal(torch.cat(parts), whole[:, :columns])


def test_rows_and_purposes_draw_apart_from_one_another() -> None:
    one, other = (uniform(row_draws(SEEDS, purpose), 6, 20) for purpose in ("a", "b"))
    assert len(torch.cat([one, other]).unique(dim=0)) == 12
    assert not torch.equal(normal(row_draws(SEEDS, "a"), 6, 20), one)
    assert seed_of(1, 2) != seed_of(2, 1)


@pytest.mark.parametrize("cut", [0, 1, 4, 6])
def test_masks_and_augmentation_do_not_depend_on_who_shares_the_batch(cut: int) -> None:
    pixels, response = torch.rand(6, 1, 16, 16), torch.rand(6, 16)
    group, entity = torch.arange(9).expand(6, 9), torch.zeros(6, 9, dtype=torch.bool)

    def outcome(rows: slice, padding: int) -> list[torch.Tensor]:
        def draws() -> list[torch.Generator]:
            return row_draws(SEEDS[rows], "x")

        padded = torch.nn.functional.pad(group[rows], (0, padding), value=-1)
        inside = torch.nn.functional.pad(entity[rows], (0, padding))
        words = mask_words(padded, inside, p_entity=0.5, p_other=0.4, generator=draws())[:, :9]
        patches = mask_patches(response[rows], ratio=0.5, mode="blend", attention_share=0.7, generator=draws())
        return [words, patches, Augment()(pixels[rows], draws())]

    parts = zip(outcome(slice(0, cut), 3), outcome(slice(cut, 6), 0), strict=True)
    for whole, pair in zip(outcome(slice(0, 6), 5), parts, strict=True):
        assert torch.equal(torch.cat(pair), whole)
