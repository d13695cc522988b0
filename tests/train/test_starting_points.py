"""What `model.image_checkpoint` and `model.text_checkpoint` name is checked against what training needs."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModel, BertConfig, BertModel, ViTConfig, ViTModel

from tiny import CONFIG, tiny_processor
from xlip.batches import place
from xlip.batches.place import checked_place
from xlip.errors import XLIPError
from xlip.models.loading import load_checked
from xlip.study.prompts import load_prompts
from xlip.train.build import ModelConfig, build_model, build_processor

SIZES = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}


@pytest.fixture
def bert(tmp_path: Path) -> Path:
    tokenizer = tiny_processor().tokenizer
    model = BertModel(BertConfig(vocab_size=len(tokenizer), max_position_embeddings=64, **SIZES))
    model.save_pretrained(tmp_path / "bert")
    tokenizer.save_pretrained(tmp_path / "bert")
    return tmp_path / "bert"


def processor(bert: Path, **changes: Any) -> Any:
    config = replace(CONFIG, text_checkpoint=str(bert), **changes)
    return build_processor(config, {}, load_prompts("xlip"))


def without_tokenizer(bert: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt"):
        (bert / name).unlink(missing_ok=True)


def fewer_words(bert: Path) -> None:
    config = json.loads((bert / "config.json").read_text())
    BertModel(BertConfig(**{**config, "vocab_size": 50})).save_pretrained(bert)


def damaged_tokenizer(bert: Path) -> None:
    (bert / "tokenizer.json").write_text("{")


@pytest.mark.parametrize(
    ("harm", "changes", "message"),
    [
        (without_tokenizer, {}, r"model\.text_checkpoint .*bert: .*tokenizer"),
        (fewer_words, {}, r"its tokenizer has \d+ tokens, its model embeds 50"),
        (damaged_tokenizer, {}, r"bert: its tokenizer: cannot be read"),
        (lambda bert: None, {"max_tokens": 65}, r"model\.max_tokens 65: .* has 64 positions"),
    ],
)
def test_a_text_checkpoint_that_training_cannot_use_is_refused(
    harm: Callable[[Path], None], changes: dict[str, Any], message: str, bert: Path
) -> None:
    processor(bert)
    harm(bert)
    with pytest.raises(XLIPError, match=message) as caught:
        processor(bert, **changes)
    assert "\n" not in str(caught.value)


def vit(folder: Path, **changes: Any) -> str:
    options = {"image_size": 64, "patch_size": 16, **SIZES, **changes}
    ViTModel(ViTConfig(**options), add_pooling_layer=False).save_pretrained(folder)
    return str(folder)


def build(**changes: Any) -> Any:
    return build_model(replace(CONFIG, **changes), tiny_processor(), 0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_weights_are_trained_in_fp32_however_they_are_stored(dtype: torch.dtype, bert: Path, tmp_path: Path) -> None:
    image = vit(tmp_path / "vit")
    for folder in (image, str(bert)):
        AutoModel.from_pretrained(folder).to(dtype).save_pretrained(folder)
        assert AutoConfig.from_pretrained(folder).dtype == dtype
    model = build(image_checkpoint=image, text_checkpoint=str(bert))
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    model.save_pretrained(tmp_path / "saved")
    assert {parameter.dtype for parameter in load_checked(str(tmp_path / "saved")).parameters()} == {torch.float32}


def test_images_that_the_patches_do_not_divide_or_that_are_not_square_are_refused(tmp_path: Path) -> None:
    square = vit(tmp_path / "square")
    with pytest.raises(XLIPError, match=r"model\.image_size 72 is no multiple of .*16 pixels; take 64"):
        build(image_checkpoint=square, image_size=72)
    for sides in ([64, 32], [32, 128]):  # the second has as many patches as a square
        with pytest.raises(XLIPError, match=r"wide: expected square images, got \["):
            build(image_checkpoint=vit(tmp_path / "wide", image_size=sides))


@pytest.mark.parametrize("harm", ["lacks", "nan"])
@pytest.mark.parametrize("option", ["image_checkpoint", "text_checkpoint"])
def test_weights_that_are_not_there_or_not_finite_are_refused(
    harm: str, option: str, bert: Path, tmp_path: Path
) -> None:
    """The library draws what is missing at random, and says so in a log that nobody reads."""
    folder = bert if option == "text_checkpoint" else Path(vit(tmp_path / "vit"))
    weights = load_file(folder / "model.safetensors")
    name = next(name for name in weights if name.endswith("query.weight") or name.endswith("q_proj.weight"))
    if harm == "nan":
        weights[name][0, 0] = torch.nan
    else:
        del weights[name]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    said = "hold NaN" if harm == "nan" else r"lack .*\(1 in all\)"
    with pytest.raises(XLIPError, match=rf"model\.{option} .*: its weights .*{said}"):
        build(**{option: str(folder)})


def test_another_family_is_refused_with_the_option_that_named_it(bert: Path, tmp_path: Path) -> None:
    with pytest.raises(XLIPError, match=r"model\.image_checkpoint .*bert: expected one of vit, dinov2, .*; got 'bert'"):
        build(image_checkpoint=str(bert))
    with pytest.raises(XLIPError, match=r"model\.text_checkpoint .*vit: expected one of bert, .*; got 'vit'"):
        processor(Path(vit(tmp_path / "vit")))


@pytest.mark.parametrize("name", ["./nowhere", "/nowhere/model", "runs/a/b", "~/model", "tests/nowhere"])
def test_a_misspelt_path_is_refused_without_asking_a_hub(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "tests").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(place, "_hub_answers", lambda: pytest.fail("asked the hub"))
    with pytest.raises(XLIPError, match=f"{name}: no such folder"):
        load_checked(name)


def test_a_hub_id_without_a_network_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place, "_hub_answers", lambda: False)
    with pytest.raises(XLIPError, match=r"model\.text_checkpoint owner/name: no such folder, not in the local cache"):
        build_processor(ModelConfig(text_checkpoint="owner/name"), {}, load_prompts("xlip"))
    monkeypatch.setattr(place, "_hub_answers", lambda: True)
    assert checked_place("owner/name") == "owner/name"
