"""A step in parts has the loss and the gradient of the whole step, whatever the term."""

from __future__ import annotations

import pytest
import torch

from tiny import tiny_batch, tiny_model
from xlip.models.xlip import XLIPModel
from xlip.objectives.registry import OBJECTIVES, build_objectives
from xlip.train.parts import PartsPass
from xlip.train.pretrainer import Losses, Pretrainer

OPTIONS = {
    **{name: {} for name in OBJECTIVES},
    "contrastive": {"denials": True},
    "attmim": {"where": "reencode", "share": 0.7},
    "kind_contrast": {"denials": True},
}


def task_of(names: list[str], seed: int = 0) -> Pretrainer:
    return Pretrainer(tiny_model(seed).train(), build_objectives({name: OPTIONS[name] for name in names}))


def gradients(model: XLIPModel) -> dict[str, torch.Tensor]:
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}


def compare(names: list[str], mix: tuple[int, int, int], count: int) -> None:
    whole, parted = task_of(names), task_of(names)
    batch = tiny_batch(whole.model, *mix)
    expected: Losses = whole(batch, 0.7, torch.Generator().manual_seed(0))
    expected.total.backward()
    found = PartsPass(parted, batch, 0.7, torch.Generator().manual_seed(0), count).backward()
    assert not found.total.requires_grad
    for name, term in expected.terms.items():
        assert float(found.terms[name]) == pytest.approx(float(term), rel=1e-5, abs=1e-6), name
    one, other = gradients(whole.model), gradients(parted.model)
    assert {name for name in one.keys() ^ other.keys() if (one | other)[name].abs().max() > 1e-9} == set()
    other = {name: torch.zeros_like(gradient) for name, gradient in one.items()} | other
    # Of the whole gradient's norm: what is zero but for rounding (biases of keys) is noise in both.
    close = 1e-5 * sum(float(gradient.norm()) ** 2 for gradient in one.values()) ** 0.5
    for name, gradient in one.items():
        assert float((other[name] - gradient).norm()) <= close, name


@pytest.mark.parametrize("name", OBJECTIVES)
def test_each_term_in_three_parts_is_that_of_the_whole(name: str) -> None:
    compare([name], (5, 4, 3), 3)


@pytest.mark.parametrize("mix", [(5, 4, 3), (2, 0, 0), (0, 3, 1)])
def test_all_terms_together_also_where_parts_are_empty(mix: tuple[int, int, int]) -> None:
    compare(list(OBJECTIVES), mix, 3)


def test_one_part_is_the_whole_and_more_parts_than_rows_are_no_fault() -> None:
    compare(["contrastive", "attmim", "entmlm"], (2, 1, 1), 1)
    compare(["contrastive", "attmim", "entmlm"], (2, 1, 1), 9)


def test_parts_take_every_row_once_and_keep_pairs_together() -> None:
    batch = tiny_batch(tiny_model(), 5, 4, 3)
    parts = [one.batch() for one in batch.parts(3)]
    assert sorted(study for one in parts for study in one.image_studies) == sorted(batch.image_studies)
    assert sorted(study for one in parts for study in one.report_studies) == sorted(batch.report_studies)
    assert [one.pairs for one in parts] == [1, 2, 2]
    for one in parts:
        numbers = [int(name.removeprefix("image-")) for name in one.image_studies[: one.pairs]]
        assert [int(name.removeprefix("report-")) for name in one.report_studies[: one.pairs]] == numbers
        assert len(one.descriptions) == len(one.meaning) == len(one.pixels) - one.pairs
