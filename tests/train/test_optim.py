"""Which learning rate and which decay a parameter gets, and the rate of every step: against plain Python."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tiny import tiny_model
from xlip.train.optim import OptimConfig, build_optimizer, build_schedule

RATES = st.floats(0.01, 10)


@pytest.fixture(scope="module")
def model():
    return tiny_model()


@settings(deadline=None, max_examples=25)
@given(lr=RATES, text=RATES, words=RATES, decay=st.floats(0, 1), beta2=st.floats(0.5, 0.999))
def test_every_parameter_has_the_rate_of_its_part_and_matrices_alone_decay(
    model, lr, text, words, decay, beta2
) -> None:
    config = OptimConfig(lr=lr, text_rate=text, word_rate=words, weight_decay=decay, beta2=beta2)
    optimizer = build_optimizer(model, config)
    found = {id(p): (group["lr"], group["weight_decay"]) for group in optimizer.param_groups for p in group["params"]}
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(found) == len(list(model.parameters()))
    assert {group["betas"] for group in optimizer.param_groups} == {(0.9, beta2)}
    towers = {id(p): text for part in (model.text_tower, model.text_head) for p in part.parameters()}
    towers[id(model.text_tower.word_embeddings)] = words
    towers |= {id(p): OptimConfig().local_rate for p in model.local.parameters()}
    for name, parameter in model.named_parameters():
        matrix = parameter.ndim > 1 and not name.endswith("token") and "position" not in name
        assert found[id(parameter)] == (lr * towers.get(id(parameter), 1.0), decay if matrix else 0.0), name


def test_what_is_frozen_is_not_in_the_optimizer() -> None:
    model = tiny_model()
    model.text_tower.requires_grad_(False)
    held = {id(p) for group in build_optimizer(model, OptimConfig()).param_groups for p in group["params"]}
    assert held == {id(p) for p in model.parameters() if p.requires_grad}


@settings(deadline=None)
@given(warmup=st.integers(0, 20), steps=st.integers(1, 40), start=st.integers(0, 30), lr=RATES)
def test_the_rate_warms_up_then_falls_as_a_cosine_wherever_training_starts(warmup, steps, start, lr) -> None:
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=lr)
    schedule = build_schedule(optimizer, warmup, steps, start)
    for step in range(start, start + 12):
        share = min(1.0, (step - warmup) / max(steps - warmup, 1))
        wanted = (step + 1) / warmup if step < warmup else (1 + math.cos(math.pi * share)) / 2
        assert schedule.get_last_lr()[0] == pytest.approx(lr * wanted, abs=1e-12)
        optimizer.step()
        schedule.step()
