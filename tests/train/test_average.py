"""The running mean of the weights: its rule, its place in a checkpoint, its evaluation, and what it writes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from runs import log_rows, prepare_streams, small_run
from xlip.errors import XLIPError
from xlip.models.xlip import XLIPModel
from xlip.train.average import Average
from xlip.train.config import DuringTraining
from xlip.train.loop import pretrain
from xlip.train.optim import OptimConfig

DECAY = 0.9


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return prepare_streams(tmp_path_factory.mktemp("sets"), 8)


def test_the_mean_follows_its_rule_and_leaves_what_is_frozen() -> None:
    layer = torch.nn.Linear(1, 1)
    layer.bias.requires_grad_(False)
    with torch.no_grad():
        layer.weight.fill_(2.0)
        average = Average(layer, 0.5)
        expected = 2.0
        for number in range(12):
            layer.weight.fill_(float(number))
            average.update()
            decay = min(0.5, (1 + number) / (10 + number))
            expected = decay * expected + (1 - decay) * number
    assert list(average.mean) == ["weight"]
    assert float(average.mean["weight"]) == pytest.approx(expected)
    with average.in_place():
        assert float(layer.weight.detach()) == pytest.approx(expected)
    assert float(layer.weight.detach()) == 11
    with pytest.raises(XLIPError, match="averages other weights"):
        average.fill({"bias": torch.zeros(1)})


def test_a_resumed_run_has_the_mean_of_one_that_was_not_interrupted(data: dict[str, str], tmp_path: Path) -> None:
    changes = {"optim": OptimConfig(ema=DECAY), "objectives": {"contrastive": {}, "image_kind": {}}}
    whole = pretrain(small_run(data, tmp_path / "whole", **changes))
    parts = small_run(data, tmp_path / "parts", **changes)
    first = replace(parts, steps=4)
    (tmp_path / "parts").mkdir()
    _stop_after_two(first)
    pretrain(replace(parts, resume=True))
    one, other = (load_file(tmp_path / name / "ema" / "model.safetensors") for name in ("whole", "parts"))
    assert all(torch.equal(other[name], tensor) for name, tensor in one.items())
    trained = load_file(tmp_path / "whole" / "model.safetensors")
    assert any(not torch.equal(trained[name], tensor) for name, tensor in one.items())
    saved = XLIPModel.from_pretrained(tmp_path / "whole").state_dict()
    assert all(torch.equal(whole.model.state_dict()[name], tensor) for name, tensor in saved.items())
    XLIPModel.from_pretrained(tmp_path / "whole" / "ema")


def _stop_after_two(config) -> None:
    from xlip.train import session

    done = []
    made = session.train_step

    def stepping(*arguments):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(1)
        return made(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session, "train_step", stepping)
        with pytest.raises(KeyboardInterrupt):
            pretrain(config)


def test_evaluation_may_be_of_the_mean(data: dict[str, str], tmp_path: Path) -> None:
    def weight(model: XLIPModel) -> dict[str, float]:
        return {"eval/macro_auroc": float(model.image_head.weight.detach()[0, 0])}

    for ema in (False, True):
        config = small_run(
            data,
            tmp_path / str(ema),
            steps=2,
            optim=OptimConfig(ema=DECAY, lr=0.01),
            objectives={"image_kind": {}},
            evaluate=DuringTraining(every=1, ema=ema),
        )
        pretrain(config, weight)
        saved = load_file(tmp_path / str(ema) / ("ema" if ema else "") / "model.safetensors")
        last = log_rows(tmp_path / str(ema))[-1]
        assert last["eval/macro_auroc"] == pytest.approx(float(saved["image_head.weight"][0, 0]), abs=1e-7)
