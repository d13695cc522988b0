"""Frozen blocks, layer-wise rates, adapters, recomputed activations, loss scaling: what they change and what not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from safetensors.torch import load_file

from runs import log_rows, prepare_streams, small_run
from tiny import CONFIG, tiny_batch, tiny_model
from xlip.errors import XLIPError
from xlip.models.xlip import XLIPModel
from xlip.objectives.registry import build_objectives
from xlip.train.checkpoint import newest, save_checkpoint
from xlip.train.config import PretrainConfig
from xlip.train.loop import pretrain
from xlip.train.optim import OptimConfig, build_optimizer, build_schedule, distances, freeze
from xlip.train.pretrainer import Pretrainer
from xlip.train.step import Trainer, read, refuse_not_finite, train_step


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return prepare_streams(tmp_path_factory.mktemp("sets"), 8)


def test_distances_count_blocks_from_the_head() -> None:
    model = tiny_model()
    far = distances(model)
    image = "image_tower.encoder"
    assert far[f"{image}.embeddings.patch_embeddings.projection.weight"] == 3
    assert {far[name] for name in far if name.startswith(f"{image}.layers.0.")} == {2}
    assert {far[name] for name in far if name.startswith(f"{image}.layers.1.")} == {1}
    assert far["text_tower.encoder.embeddings.word_embeddings.weight"] == 2
    assert not {name for name in far if "layernorm.weight" in name and "layers" not in name}
    assert not {name for name in far if not name.startswith(("image_tower", "text_tower"))}


def test_layer_decay_multiplies_the_rate_of_each_block() -> None:
    model = tiny_model()
    optimizer = build_optimizer(model, OptimConfig(lr=1.0, layer_decay=0.5, text_rate=0.1, word_rate=2.0))
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    named = dict(model.named_parameters())
    for name, blocks in distances(model).items():
        part = 2.0 if "word_embeddings" in name else 0.1 if name.startswith("text_tower") else 1.0
        assert rates[id(named[name])] == pytest.approx(part * 0.5**blocks), name
    assert rates[id(model.image_head.weight)] == 1.0


@pytest.mark.parametrize(("count", "frozen"), [(0, set()), (1, {"embeddings", "layers.0"}), (-1, {""})])
def test_frozen_blocks_are_those_from_the_stem_on(count: int, frozen: set[str]) -> None:
    model = tiny_model()
    freeze(model, OptimConfig(freeze_image=count))
    for name, parameter in model.image_tower.encoder.named_parameters():
        assert parameter.requires_grad != any(name.startswith(one) for one in frozen), name
    assert all(p.requires_grad for p in model.text_tower.parameters())
    with pytest.raises(XLIPError, match=r"optim.freeze_text: 5, but the tower has 1 blocks"):
        freeze(model, OptimConfig(freeze_text=5))


def test_what_is_frozen_never_changes_and_the_rest_does(data: dict[str, str], tmp_path: Path) -> None:
    optim = OptimConfig(freeze_image=-1, freeze_text=1, lr=1e-2)
    pretrain(small_run(data, tmp_path / "start", steps=0))
    pretrain(small_run(data, tmp_path / "run", steps=2, optim=optim))
    before, after = (load_file(tmp_path / name / "model.safetensors") for name in ("start", "run"))
    same = {name for name, tensor in before.items() if torch.equal(tensor, after[name])}
    assert {name for name in before if name.startswith(("image_tower", "text_tower.encoder.embed"))} <= same
    assert "image_head.weight" not in same
    assert any(name.startswith("image_decoder") for name in before.keys() - same)


def test_recomputed_activations_change_no_number(data: dict[str, str], tmp_path: Path) -> None:
    for recompute in (False, True):
        model = replace(CONFIG, dropout=0.1)
        pretrain(small_run(data, tmp_path / str(recompute), steps=2, model=model, recompute=recompute))
    one, other = (load_file(tmp_path / str(flag) / "model.safetensors") for flag in (False, True))
    assert all(torch.equal(other[name], tensor) for name, tensor in one.items())


def test_a_step_in_parts_is_the_step(data: dict[str, str], tmp_path: Path) -> None:
    for parts in (1, 2):
        pretrain(small_run(data, tmp_path / str(parts), steps=2, parts=parts))
    one, other = (log_rows(tmp_path / str(parts)) for parts in (1, 2))
    assert other[0] == pytest.approx(one[0], rel=1e-5, abs=1e-5)
    assert other[1] == pytest.approx(one[1], rel=1e-3, abs=1e-3)  # Adam's first step is a sign


def adapted(data: dict[str, str], start: Path, out: Path, **changes) -> PretrainConfig:
    config = small_run(data, out, **changes)
    model = replace(CONFIG, image_checkpoint=str(start))
    return replace(config, model=model, optim=OptimConfig(lora_rank=2, lr=1e-2), objectives={"image_kind": {}})


def test_adapters_learn_resume_exactly_and_are_saved_as_a_plain_model(data: dict[str, str], tmp_path: Path) -> None:
    pretrain(small_run(data, tmp_path / "start", steps=0))
    whole = pretrain(adapted(data, tmp_path / "start", tmp_path / "whole"))
    pretrain(adapted(data, tmp_path / "start", tmp_path / "parts", steps=2, checkpoint_every=2))
    pretrain(adapted(data, tmp_path / "start", tmp_path / "again"))
    saved = load_file(tmp_path / "whole" / "model.safetensors")
    again = load_file(tmp_path / "again" / "model.safetensors")
    assert all(torch.equal(again[name], tensor) for name, tensor in saved.items())
    assert not [name for name in saved if "lora" in name or "base_layer" in name]
    before = load_file(tmp_path / "start" / "model.safetensors")
    changed = {name for name in saved if name.startswith("image_tower") and not torch.equal(saved[name], before[name])}
    assert changed
    assert all("attention" in name and name.endswith("weight") for name in changed)
    loaded, pixels = XLIPModel.from_pretrained(tmp_path / "whole"), torch.rand(1, 1, 64, 64)
    assert torch.allclose(loaded.encode_pixels(pixels), whole.model.encode_pixels(pixels), atol=1e-6)
    with pytest.raises(XLIPError, match=r"optim.lora_rank: expected a tower that starts from a checkpoint"):
        pretrain(small_run(data, tmp_path / "none", optim=OptimConfig(lora_rank=2)))


def test_adapters_go_on_from_a_checkpoint_bit_by_bit(
    data: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from xlip.train import session

    pretrain(small_run(data, tmp_path / "start", steps=0))
    pretrain(adapted(data, tmp_path / "start", tmp_path / "whole"))
    done, made = [], session.train_step

    def stepping(*arguments):
        if len(done) == 3:
            raise KeyboardInterrupt
        done.append(1)
        return made(*arguments)

    config = adapted(data, tmp_path / "start", tmp_path / "parts")
    with monkeypatch.context() as patch:
        patch.setattr(session, "train_step", stepping)
        with pytest.raises(KeyboardInterrupt):
            pretrain(config)
    pretrain(replace(config, resume=True))
    one, other = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "parts"))
    assert all(torch.equal(other[name], tensor) for name, tensor in one.items())


def scaled_trainer(scale: float) -> tuple[Trainer, XLIPModel]:
    """As accelerate builds it in fp16, on the CPU and in fp32."""
    model, accelerator = tiny_model(), Accelerator(cpu=True)
    accelerator.scaler, accelerator.native_amp = torch.amp.GradScaler("cpu", init_scale=scale), True
    optimizer = build_optimizer(model, OptimConfig())
    schedule = build_schedule(optimizer, 1, 10)
    prepared = accelerator.prepare(optimizer)
    prepared.scaler = accelerator.scaler
    accelerator.state._mixed_precision = "fp16"
    task = Pretrainer(model, build_objectives({"contrastive": {}}))
    return Trainer(accelerator, task, prepared, schedule, 1.0), model


@pytest.fixture
def fresh_accelerate():
    from accelerate.state import AcceleratorState

    yield
    AcceleratorState._reset_state()


def test_an_overflow_of_fp16_leaves_a_step_out_lowers_the_scale_and_is_no_fault(fresh_accelerate) -> None:
    trainer, model = scaled_trainer(float("inf"))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    values = read([train_step(trainer, tiny_batch(model), 0.0, torch.Generator().manual_seed(0))])[0]
    refuse_not_finite(values, scaled=True)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_the_loss_scale_is_part_of_a_checkpoint(fresh_accelerate, tmp_path: Path) -> None:
    trainer, model = scaled_trainer(2.0**10)
    train_step(trainer, tiny_batch(model), 0.0, torch.Generator().manual_seed(0))
    scaler = trainer.accelerator.scaler
    save_checkpoint(tmp_path, model, trainer.optimizer, 1, config={}, facts={}, rows=[], scaler=scaler)
    found = newest(tmp_path)
    assert found is not None
    assert found.scaler == scaler.state_dict()
    other = torch.amp.GradScaler("cpu")
    other.load_state_dict(found.scaler)
    assert other.get_scale() == 2.0**10
    assert other.state_dict() == scaler.state_dict()
