"""A checkpoint brings back model, optimiser and step to the last bit, and a damaged one is refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError

from tiny import tiny_model
from xlip.errors import XLIPError
from xlip.train import checkpoint
from xlip.train.checkpoint import newest, read_checkpoint, save_checkpoint
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


def save(run: Path, model, optimizer, number: int) -> Path:
    return save_checkpoint(run, model, optimizer, number, config={"seed": 3}, facts={"ranks": 1}, rows=[{"step": 0.5}])


@settings(deadline=None, max_examples=4)
@given(seed=st.integers(0, 2**31), done=st.integers(0, 3), number=st.integers(0, 10**6))
def test_training_goes_on_as_if_it_had_not_stopped(tmp_path_factory, seed: int, done: int, number: int) -> None:
    run = tmp_path_factory.mktemp("run")
    model = tiny_model()
    optimizer = build_optimizer(model, OPTIM)
    for update in range(done):
        step(model, optimizer, seed + update)
    folder = save(run, model, optimizer, number)
    found = newest(run)
    assert (found.folder, found.step, found.figure) == (folder, number, None)
    assert (found.config, found.facts, found.rows) == ({"seed": 3}, {"ranks": 1}, [{"step": 0.5}])
    other = found.model()
    again = build_optimizer(other, OPTIM)
    found.fill(again)
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
    save(tmp_path, model, optimizer, 1)
    again = build_optimizer(model, OPTIM)
    wanted = [group["lr"] for group in again.param_groups]
    newest(tmp_path).fill(again)
    assert [group["lr"] for group in again.param_groups] == wanted


def test_a_stopped_writer_leaves_the_last_checkpoint_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model()
    optimizer = build_optimizer(model, OPTIM)
    folder = save(tmp_path, model, optimizer, 1)

    def stopped(*_) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint, "save_file", stopped)
    with pytest.raises(KeyboardInterrupt):
        save(tmp_path, model, optimizer, 2)
    assert list(folder.parent.iterdir()) == [folder]
    assert newest(tmp_path).step == 1


def test_nothing_is_pickled_and_every_file_is_watched(tmp_path: Path) -> None:
    model = tiny_model()
    folder = save(tmp_path, model, build_optimizer(model, OPTIM), 1)
    for file in folder.iterdir():
        assert file.suffix in (".json", ".jsonl", ".safetensors")
        whole = file.read_bytes()
        file.write_bytes(whole[:-2])
        with pytest.raises(XLIPError, match="a damaged checkpoint"):
            read_checkpoint(folder)
        file.write_bytes(whole)
    assert read_checkpoint(folder).step == 1
    assert newest(tmp_path / "nowhere") is None


def test_a_full_disk_is_one_line_and_leaves_the_last_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model()
    optimizer = build_optimizer(model, OPTIM)
    folder = save(tmp_path, model, optimizer, 1)

    def full(*arguments: object) -> None:
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(XLIPError, match=r"step-00000002: cannot write \(I/O error: No space left") as caught:
        save(tmp_path, model, optimizer, 2)
    assert "\n" not in str(caught.value)
    assert [one.name for one in folder.parent.iterdir()] == [folder.name]
    assert newest(tmp_path).step == 1


def test_everybody_whom_the_umask_allows_may_read_it(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        model = tiny_model()
        folder = save(tmp_path, model, build_optimizer(model, OPTIM), 1)
        model.save_pretrained(tmp_path / "model")
    finally:
        os.umask(before)
    files = [file for place in (folder, tmp_path / "model") for file in place.iterdir()]
    assert {file.stat().st_mode & 0o777 for file in files} == {0o644}
    assert {place.stat().st_mode & 0o777 for place in (folder, tmp_path / "model")} == {0o755}
