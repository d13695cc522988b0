from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tiny import tiny_model
from xlip.errors import XLIPError
from xlip.models.loading import load_checked

WEIGHTS = "model.safetensors"


def lose_a_weight(folder: Path) -> None:
    weights = load_file(folder / WEIGHTS)
    del weights["image_head.weight"]
    save_file(weights, folder / WEIGHTS, {"format": "pt"})


def spoil_a_weight(folder: Path) -> None:
    weights = load_file(folder / WEIGHTS)
    weights["image_head.weight"][0, 0] = float("inf")
    save_file(weights, folder / WEIGHTS, {"format": "pt"})


def cut(folder: Path) -> None:
    (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:-1000])


def widen(folder: Path) -> None:
    settings = json.loads((folder / "config.json").read_text())
    settings["image"]["hidden_size"] = 48
    (folder / "config.json").write_text(json.dumps(settings))


def rename(folder: Path) -> None:
    settings = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**settings, "model_type": "clip"}))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tiny_model().save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def test_a_sound_checkpoint_comes_back_as_it_was(folder: Path) -> None:
    before, after = tiny_model().state_dict(), load_checked(str(folder)).state_dict()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lose_a_weight, r"holds \d+ weights, the architecture of its config\.json needs \d+"),
        (spoil_a_weight, r"the weights image_head\.weight hold NaN or infinite numbers"),
        (cut, r"the checkpoint's weights are damaged"),
        (widen, r"the weights do not fit the architecture in its config\.json"),
        (rename, r"a checkpoint of the architecture 'clip', expected 'xlip'.*hf:"),
    ],
)
def test_a_harmed_checkpoint_is_refused_in_one_line(folder: Path, harm: Callable[[Path], None], message: str) -> None:
    harm(folder)
    with pytest.raises(XLIPError, match=rf"{folder}: .*{message}") as caught:
        load_checked(str(folder))
    assert "\n" not in str(caught.value)
