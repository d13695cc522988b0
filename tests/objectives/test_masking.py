from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from xlip.batches.draws import row_draws
from xlip.objectives.masking import MODES, mask_patches, mask_words, ramp, told_apart


def masks(response: torch.Tensor, mode: str, ratio: float = 0.5, share: float = 1.0, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return mask_patches(response, ratio=ratio, mode=mode, attention_share=share, generator=generator)


@given(
    mode=st.sampled_from(MODES),
    rows=st.integers(1, 4),
    patches=st.integers(4, 70),
    ratio=st.floats(0.1, 0.9),
    share=st.floats(0, 1),
    seed=st.integers(0, 99),
    ties=st.booleans(),
)
def test_every_row_hides_exactly_the_share(mode, rows, patches, ratio, share, seed, ties) -> None:
    response = torch.randn(rows, patches, generator=torch.Generator().manual_seed(seed))
    hidden = masks(torch.zeros_like(response) if ties else response, mode, ratio, share, seed)
    assert hidden.dtype == torch.bool
    assert (hidden.sum(1) == round(ratio * patches)).all()


def test_high_hides_the_top_and_low_the_bottom() -> None:
    response = torch.arange(10.0).repeat(3, 1)
    assert masks(response, "high")[:, 5:].all()
    assert masks(response, "low")[:, :5].all()


def test_blend_hides_half_from_the_top_and_hint_leaves_a_quarter_of_the_top_visible() -> None:
    response = torch.arange(80.0).repeat(20, 1)
    top = slice(40, None)
    blend, hint = masks(response, "blend"), masks(response, "hint")
    assert blend[:, 60:].all()  # the upper half of the candidates is picked by response
    assert (hint[:, top].sum(1) == 30).all()
    assert blend[:, :40].float().mean() == pytest.approx(1 / 3, abs=0.06)  # the other half is any of the rest


def test_of_equal_responses_any_may_be_hidden() -> None:
    often = masks(torch.zeros(600, 32), "high").float().mean(0)
    assert 0.38 < float(often.min()) < float(often.max()) < 0.62


def test_without_attention_the_mask_ignores_the_response() -> None:
    response = torch.arange(64.0).repeat(200, 1)
    share_of_top = masks(response, "high", share=0.0)[:, 32:].float().mean()
    assert share_of_top == pytest.approx(0.5, abs=0.02)
    assert torch.equal(masks(response, "random", seed=3), masks(-response, "random", seed=3))


def test_what_answers_equally_but_for_rounding_is_chosen_by_the_draws_alone() -> None:
    """Masks of one response as two numbers of images together would compute it: equal places, and a scale a bit off."""
    seeds = torch.arange(400)
    response = torch.rand(400, 64, generator=torch.Generator().manual_seed(0))
    response[:, 10:50] = 0.5
    rounded = torch.randn(response.shape, generator=torch.Generator().manual_seed(1))
    other = response * (1 + 1e-7 * rounded) * (1 + 1e-5 * rounded[:, :1])

    def hidden(one: torch.Tensor) -> torch.Tensor:
        told = told_apart(one, row_draws(seeds, "ties"))
        return mask_patches(told, ratio=0.5, mode="high", attention_share=1.0, generator=row_draws(seeds, "masks"))

    differing = (hidden(response) != hidden(other)).any(1).float().mean()
    assert float(differing) < 0.01
    often = hidden(response)[:, 10:50].float().mean(0)
    assert 0.3 < float(often.min()) < float(often.max()) < 0.7  # none of the equal ones is preferred
    order = told_apart(torch.tensor([[-2.0, 1.0, 0.9, 0.0, 0.0]]), torch.Generator())
    assert order.argsort(dim=1, stable=True).tolist() == [[0, 3, 4, 2, 1]]
    assert torch.equal(order[0, 3:], torch.zeros(2))


def test_no_gradient_flows_through_the_response() -> None:
    response = torch.randn(2, 16, requires_grad=True)
    assert not masks(response, "high").requires_grad


def test_a_unit_shares_its_fate_special_tokens_stay_and_one_entity_is_hidden() -> None:
    group = torch.tensor([[-1, 0, 0, 1, 2, 2, 2, -1], [-1, 0, 1, 2, 3, -1, -1, -1]]).repeat(100, 1)
    entity = torch.zeros_like(group, dtype=torch.bool)
    entity[::2, 4:7] = True
    hidden = mask_words(group, entity, p_entity=0.0, p_other=0.5, generator=torch.Generator().manual_seed(0))
    assert not hidden[group < 0].any()
    assert hidden[::2, 4:7].all()  # the only entity, although p_entity is 0
    assert torch.equal(hidden[:, 1][::2], hidden[:, 2][::2])
    assert hidden[1::2, 1:5].float().mean() == pytest.approx(0.5, abs=0.1)


def test_whole_entities_are_hidden_as_often_as_asked() -> None:
    group = torch.arange(40).repeat(300, 1)
    entity = (torch.arange(40) < 20).repeat(300, 1)
    hidden = mask_words(group, entity, p_entity=0.6, p_other=0.1, generator=torch.Generator().manual_seed(0))
    assert hidden[:, :20].float().mean() == pytest.approx(0.6, abs=0.03)
    assert hidden[:, 20:].float().mean() == pytest.approx(0.1, abs=0.02)


def test_the_ramp_goes_from_0_to_1() -> None:
    assert [ramp(p, 0.5) for p in (0, 0.25, 0.5, 1)] == [0, 0.5, 1, 1]
    assert ramp(0, 0) == 1
