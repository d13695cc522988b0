from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator

from tiny import CONFIG, tiny_batch, tiny_model
from xlip.batches.streams import Streams
from xlip.batches.study_table import SetConfig
from xlip.errors import XLIPError
from xlip.models.xlip import XLIPModel
from xlip.objectives.registry import OBJECTIVE_DEFAULTS, OBJECTIVES, build_objectives
from xlip.preparation.run import prepare
from xlip.train.loop import PretrainConfig, pretrain
from xlip.train.optim import OptimConfig, build_optimizer, build_schedule
from xlip.train.pretrainer import Pretrainer
from xlip.train.step import Trainer
from xlip.train.term_gradients import term_gradients


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> dict[str, str]:
    root = tmp_path_factory.mktemp("prepared")
    for number, name in enumerate(("pairs", "images", "texts")):
        prepare("phantom", Path(), root / name, workers=0, options={"count": 24, "size": 64, "start": 100 * number})
    return {name: str(root / name) for name in ("pairs", "images", "texts")}


def config(data: dict[str, str], out: Path, **changes) -> PretrainConfig:
    streams = Streams(
        **{name: [SetConfig(path)] for name, path in data.items()}, mix={"pairs": 4, "images": 4, "texts": 4}
    )
    base = PretrainConfig(
        out=str(out), data=streams, model=CONFIG, steps=6, workers=0, log_every=1, checkpoint_every=3, precision="fp32"
    )
    return replace(base, **changes)


@pytest.mark.parametrize("mix", [(0, 3, 2), (3, 0, 0), (0, 0, 3), (0, 3, 0), (2, 2, 2)])
@pytest.mark.parametrize("where", ["feature", "reencode"])
def test_a_batch_without_pairs_images_or_texts_trains_without_nan(mix, where: str) -> None:
    model = tiny_model()
    objectives = build_objectives({**{name: {} for name in OBJECTIVES}, "attmim": {"where": where}})
    losses = Pretrainer(model, objectives)(tiny_batch(model, *mix), 0.5, torch.Generator().manual_seed(0))
    losses.total.backward()
    assert set(losses.terms) == set(OBJECTIVES)
    assert torch.isfinite(losses.total)
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in model.parameters())


def test_the_total_is_the_weighted_sum_of_the_terms() -> None:
    model = tiny_model().eval()
    batch = tiny_batch(model)
    weights = {name: 0.25 * (number % 5) for number, name in enumerate(OBJECTIVES)}
    objectives = build_objectives({name: {"weight": weight} for name, weight in weights.items()})
    losses = Pretrainer(model, objectives)(batch, 1.0, torch.Generator().manual_seed(0))
    expected = sum(weights[name] * float(term) for name, term in losses.terms.items())
    assert float(losses.total.detach()) == pytest.approx(expected, rel=1e-5)


def test_the_image_tower_is_called_once_and_the_text_tower_once_per_bucket() -> None:
    model = tiny_model()
    calls = {"image": 0, "text": 0}
    model.image_tower.register_forward_hook(lambda *_: calls.__setitem__("image", calls["image"] + 1))
    model.text_tower.register_forward_hook(lambda *_: calls.__setitem__("text", calls["text"] + 1))
    Pretrainer(model, build_objectives(OBJECTIVE_DEFAULTS))(tiny_batch(model), 1.0, torch.Generator().manual_seed(0))
    assert calls["image"] == 1
    assert 1 <= calls["text"] <= 4  # buckets of similar length


def test_a_run_can_be_loaded_logs_and_repeats_itself(data, tmp_path: Path) -> None:
    first = pretrain(config(data, tmp_path / "a"))
    second = pretrain(config(data, tmp_path / "b"))
    assert [c["total"] for c in first.curve] == [c["total"] for c in second.curve]
    other = pretrain(config(data, tmp_path / "c", seed=1, steps=1))
    assert other.curve[0]["total"] != first.curve[0]["total"]
    loaded = XLIPModel.from_pretrained(tmp_path / "a")
    assert torch.allclose(loaded.encode_text("effusion"), first.model.encode_text("effusion"), atol=1e-5)
    lines = [json.loads(line) for line in (tmp_path / "a" / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(6))
    assert set(OBJECTIVE_DEFAULTS) <= set(lines[0])
    run = json.loads((tmp_path / "a" / "run.json").read_text())
    assert run["config"]["steps"] == 6
    assert list((tmp_path / "a" / "tensorboard").iterdir())
    assert not [p for p in tmp_path.rglob("*") if p.suffix in (".pt", ".pkl", ".bin")]


def test_a_resumed_run_ends_where_an_uninterrupted_one_does(data, tmp_path: Path, monkeypatch) -> None:
    base = config(data, tmp_path / "whole")
    base = replace(base, model=replace(base.model, dropout=0.1))
    whole = pretrain(base)
    interrupted = replace(base, out=str(tmp_path / "parts"))
    # Stopped after the checkpoint of step 3; the schedule is that of the full length.
    with monkeypatch.context() as patch:
        patch.setattr("xlip.train.session.train_step", _stop_at(3))
        with pytest.raises(KeyboardInterrupt):
            pretrain(interrupted)
    resumed = pretrain(replace(interrupted, resume=True))
    assert [c["total"] for c in resumed.curve] == [c["total"] for c in whole.curve]
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(resumed.model.state_dict()[name], tensor), name


def _stop_at(step: int):
    from xlip.train import step as module

    done = {"steps": 0}

    def stopping(*arguments):
        if done["steps"] == step:
            raise KeyboardInterrupt
        done["steps"] += 1
        return module.train_step(*arguments)

    return stopping


def test_training_lowers_the_loss() -> None:
    model = tiny_model()
    batch = tiny_batch(model, 6, 4, 2)
    task = Pretrainer(model, build_objectives(OBJECTIVE_DEFAULTS))
    optimizer = build_optimizer(model, OptimConfig(lr=2e-3))
    totals = []
    for _ in range(30):
        losses = task(batch, 1.0, torch.Generator().manual_seed(0))
        losses.total.backward()
        optimizer.step()
        optimizer.zero_grad()
        totals.append(float(losses.total.detach()))
    assert totals[-1] < 0.85 * totals[0]


def test_the_schedule_warms_up_and_ends_at_zero() -> None:
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = build_schedule(optimizer, 4, 20)
    rates = []
    for _ in range(20):
        rates.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    assert np.allclose(rates[:4], [0.25, 0.5, 0.75, 1.0])
    assert rates[-1] < 0.02 < rates[10] < 1


def test_gradient_norms_of_single_terms(data, tmp_path: Path) -> None:
    run = pretrain(config(data, tmp_path / "norms", steps=2, gradient_norms_every=2))
    assert all(run.curve[0][f"gradient_norm/{name}"] > 0 for name in OBJECTIVE_DEFAULTS)
    assert "gradient_norm/attmim" not in run.curve[1]


def test_a_terms_gradient_norm_is_that_of_its_weighted_loss_alone() -> None:
    objectives = build_objectives({"contrastive": {"weight": 2.0}, "attmim": {}, "entmlm": {"weight": 0.5}})
    model = tiny_model()
    batch, task = tiny_batch(model), Pretrainer(model, objectives)
    optimizer = build_optimizer(model, OptimConfig())
    trainer = Trainer(Accelerator(), task, optimizer, build_schedule(optimizer, 1, 2), 1.0)
    figures = term_gradients(trainer, batch, 0.5, torch.Generator().manual_seed(7))
    assert all(parameter.grad is None for parameter in model.parameters())
    norms = {f"gradient_norm/{objective.name}" for objective in objectives}
    assert set(figures) == norms | {"gradient_cosine/attmim", "gradient_cosine/entmlm"}
    gradients = {}
    for objective in objectives:
        model.zero_grad()
        Pretrainer(model, [objective])(batch, 0.5, torch.Generator().manual_seed(7)).total.backward()
        gradients[objective.name] = {
            name: p.grad.double().flatten().clone() for name, p in model.named_parameters() if p.grad is not None
        }
        squares = sum(float(g.pow(2).sum()) for g in gradients[objective.name].values())
        assert figures[f"gradient_norm/{objective.name}"] == pytest.approx(squares**0.5, rel=1e-4)
    for name in ("attmim", "entmlm"):
        shared = gradients[name].keys() & gradients["contrastive"].keys()
        one, two = (torch.cat([gradients[which][key] for key in sorted(shared)]) for which in (name, "contrastive"))
        wanted = float(one @ two / one.norm() / two.norm())
        assert figures[f"gradient_cosine/{name}"] == pytest.approx(wanted, abs=1e-4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"objectives": {"attmimm": {}}}, "unknown objective 'attmimm'"),
        ({"objectives": {"attmim": {"ratoi": 1}}}, "unknown option 'ratoi'"),
        ({"objectives": {}}, "expected at least one of"),
        ({"precision": "int8"}, "expected auto, fp32, bf16, fp16"),
        ({"precision": "fp16"}, "GFLOP/s in fp16 and at .* in fp32, and has no loss scaling; take auto, bf16 or fp32"),
        ({"data": Streams(mix={"pairs": 4})}, "data.pairs lists no set"),
        ({"data": Streams(mix={"pears": 4})}, "unknown stream 'pears'"),
        ({"data": Streams(pairs=[SetConfig("nowhere")], mix={"pairs": 4})}, "nowhere; found none: run `xlip prepare`"),
        ({"prompts": "nope"}, "expected one of xlip"),
        ({"resume": True}, "no checkpoint to resume from"),
    ],
)
def test_a_fault_in_the_config_is_one_clear_line(data, tmp_path: Path, change, message: str) -> None:
    with pytest.raises(XLIPError, match=message) as error:
        pretrain(replace(config(data, tmp_path / "x"), **change))
    assert "\n" not in str(error.value)
