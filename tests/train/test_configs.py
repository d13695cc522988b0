"""The configs that are shipped: each is read, run dry and trained for three steps on data of the same schema."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from runs import log_rows, prepare_streams
from tiny import CONFIG, tiny_tokenizer
from xlip.batches.study_table import SetConfig
from xlip.speed.dry_run import dry_run
from xlip.speed.plan import PlanConfig, planned, read_run
from xlip.train.build import ModelConfig
from xlip.train.config import PretrainConfig
from xlip.train.loop import pretrain

CONFIGS = Path(__file__).parents[2] / "configs"
SHIPPED = ("paper", "open", "small_gpu")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return prepare_streams(tmp_path_factory.mktemp("sets"), 8)


def small(run: PretrainConfig, data: dict[str, str], folder: Path) -> PretrainConfig:
    """The same run with phantoms for its sets, and towers and a mix that take seconds."""
    sets = {name: [replace(one, path=data[name]) for one in getattr(run.data, name)] for name in data}
    streams = replace(run.data, **sets, mix={"pairs": 3, "images": 3, "texts": 2}, test_sets=[], exclusions="")
    kept = {name: getattr(run.model, name) for name in ("stem", "pool", "text_pool")}
    model: ModelConfig = replace(CONFIG, **kept, **checkpoints(run, folder))
    changes: dict[str, Any] = {"steps": 3, "workers": 0, "log_every": 1, "precision": "fp32", "checkpoint_every": 2}
    return replace(run, out=str(folder / "run"), data=streams, model=model, **changes)


def checkpoints(run: PretrainConfig, folder: Path) -> dict[str, str]:
    """Tiny local checkpoints of the families that the run starts from."""
    from transformers import BertConfig, BertModel, ViTConfig, ViTModel

    sizes: dict[str, Any] = {
        "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64,
    }  # fmt: skip
    found = {}
    if run.model.image_checkpoint:
        ViTModel(ViTConfig(image_size=32, patch_size=16, **sizes)).save_pretrained(folder / "vit")
        found["image_checkpoint"] = str(folder / "vit")
    if run.model.text_checkpoint:
        BertModel(BertConfig(vocab_size=len(tiny_tokenizer()), **sizes)).save_pretrained(folder / "bert")
        tiny_tokenizer().save_pretrained(folder / "bert")
        found["text_checkpoint"] = str(folder / "bert")
    return found


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_config_is_read_run_dry_and_trained(name: str, data: dict[str, str], tmp_path: Path) -> None:
    run = small(read_run(str(CONFIGS / f"{name}.yaml")), data, tmp_path)
    found = dry_run(run, gflops=100.0)
    assert set(found["streams"]) == {"pairs", "images", "texts"}
    pretrain(run)
    assert [row["step"] for row in log_rows(tmp_path / "run")] == [0, 1, 2]
    assert (tmp_path / "run" / "ema").is_dir() == bool(run.optim.ema)


def test_the_config_of_the_paper_declares_the_five_test_sets() -> None:
    run = read_run(str(CONFIGS / "paper.yaml"))
    names = {one.split("/")[-1].split(":")[0] for one in run.data.test_sets}
    assert names == {"rsna", "siim", "covidx", "chexpert", "nih"}
    assert not names & {one.path.split("/")[-1] for one in (*run.data.pairs, *run.data.images, *run.data.texts)}
    assert [one.path for one in run.data.pairs] == ["data/mimic-cxr"]
    assert isinstance(run.data.images[0], SetConfig)


def test_the_small_config_fits_into_twelve_gigabytes_in_half_precision() -> None:
    run = read_run(str(CONFIGS / "small_gpu.yaml"))
    found = planned(replace(run, precision="bf16"), PlanConfig("", gflops=1e4, disk_gb_s=1.0))
    assert found["memory_per_device_gb"] < 11  # even before activations are computed again
