"""A checkpoint brings back model, optimiser and step to the last bit, and what is not a checkpoint is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tiny import CONFIG, tiny_model, tiny_processor
from xlip.errors import XLIPError
from xlip.train import checkpoint
from xlip.train.build import build_model
from xlip.train.checkpoint import load_checkpoint, save_checkpoint
from xlip.train.optim import OptimConfig, build_optimizer

OPTIM = OptimConfig(text_rate=0.1, word_rate=5.0)


def step(model, optimizer, seed: int) -> None:
    """One update with gradients that a seed gives."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=generator)
    optimizer.step()


def equal(first, second) -> bool:
    """Whether two models and their optimisers are the same to the last bit."""
    states = [one.state_dict() for one in (*first, *second)]
    for one, other in ((states[0], states[2]), *zip(moments(states[1]), moments(states[3]), strict=True)):
        if one.keys() != other.keys() or not all(torch.equal(one[name], other[name]) for name in one):
            return False
    return True


def moments(state: dict) -> list[dict]:
    return [state["state"][number] for number in sorted(state["state"])]


@settings(deadline=None, max_examples=4)
@given(seed=st.integers(0, 2**31), done=st.integers(0, 3), number=st.integers(0, 10**6))
def test_training_goes_on_as_if_it_had_not_stopped(tmp_path_factory, seed: int, done: int, number: int) -> None:
    folder = tmp_path_factory.mktemp("run") / "checkpoint"
    model = tiny_model()
    optimizer = build_optimizer(model, OPTIM)
    for update in range(done):
        step(model, optimizer, seed + update)
    save_checkpoint(folder, model, optimizer, number)
    other = tiny_model(seed=1)
    again = build_optimizer(other, OPTIM)
    assert load_checkpoint(folder, other, again) == number
    assert len(again.state_dict()["state"]) == (len(list(model.parameters())) if done else 0)
    assert equal((model, optimizer), (other, again))
    for update in range(2):
        step(model, optimizer, seed - update)
        step(other, again, seed - update)
    assert equal((model, optimizer), (other, again))


def test_the_configured_rate_goes_on_not_the_one_of_the_step_that_was_saved(tmp_path: Path) -> None:
    model = tiny_model()
    optimizer = build_optimizer(model, OPTIM)
    for group in optimizer.param_groups:
        group["lr"] *= 0.01  # as a schedule does
        group["initial_lr"] = 7.0
    save_checkpoint(tmp_path / "c", model, optimizer, 1)
    again = build_optimizer(model, OPTIM)
    wanted = [group["lr"] for group in again.param_groups]
    load_checkpoint(tmp_path / "c", model, again)
    assert [group["lr"] for group in again.param_groups] == wanted
    assert all("initial_lr" not in group for group in again.param_groups)


def test_a_stopped_writer_leaves_the_last_checkpoint_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model()
    optimizer = build_optimizer(model, OPTIM)
    save_checkpoint(tmp_path / "c", model, optimizer, 1)

    def stopped(*_) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint, "save_file", stopped)
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(tmp_path / "c", model, optimizer, 2)
    assert [path.name for path in tmp_path.iterdir()] == ["c"]
    assert load_checkpoint(tmp_path / "c", model, optimizer) == 1


def test_nothing_is_pickled(tmp_path: Path) -> None:
    model = tiny_model()
    save_checkpoint(tmp_path / "c", model, build_optimizer(model, OPTIM), 1)
    assert {path.suffix for path in (tmp_path / "c").rglob("*") if path.is_file()} <= {".json", ".safetensors", ".txt"}


@pytest.mark.parametrize("change", [{"width": 48, "heads": 3}, {"decoder_layers": 2}])
def test_a_checkpoint_of_another_model_is_refused(tmp_path: Path, change: dict) -> None:
    model = tiny_model()
    save_checkpoint(tmp_path / "c", model, build_optimizer(model, OPTIM), 1)
    other = build_model(replace(CONFIG, **change), tiny_processor(), 0)
    before = {name: value.clone() for name, value in other.state_dict().items()}
    with pytest.raises(XLIPError, match=r"the checkpoint is of another model \(it differs in .*check `model`"):
        load_checkpoint(tmp_path / "c", other, build_optimizer(other, OPTIM))
    assert all(torch.equal(value, before[name]) for name, value in other.state_dict().items())


def test_no_checkpoint_is_one_line(tmp_path: Path) -> None:
    model = tiny_model()
    with pytest.raises(XLIPError, match="no checkpoint to resume from; leave --resume out"):
        load_checkpoint(tmp_path, model, build_optimizer(model, OPTIM))
