"""Every family that a tower may be built from: the encoder's own output, any grid, gray kernels, whole models."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModel

from tiny import CONFIG, tiny_batch, tiny_processor
from xlip.batches.processor import XLIPProcessor
from xlip.errors import XLIPError
from xlip.models.families import IMAGE_FAMILIES, TEXT_FAMILIES
from xlip.models.towers import ImageTower, TextTower, adopt_image_checkpoint, checkpoint_config
from xlip.models.xlip import XLIPModel
from xlip.objectives.registry import build_objectives
from xlip.train.build import build_model
from xlip.train.pretrainer import Pretrainer

FLAT: dict[str, Any] = {
    "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24, "image_size": 32,
    "patch_size": 8,
}  # fmt: skip
STAGES: dict[str, Any] = {"image_size": 32, "patch_size": 4, "depths": [1, 1]}
IMAGES: dict[str, dict[str, Any]] = {
    "vit": FLAT,
    "dinov2": {**{k: v for k, v in FLAT.items() if k != "intermediate_size"}, "mlp_ratio": 1},
    "dinov2_with_registers": {
        **{k: v for k, v in FLAT.items() if k != "intermediate_size"}, "mlp_ratio": 1, "num_register_tokens": 3,
    },
    "dinov3_vit": {**FLAT, "num_register_tokens": 2},
    "siglip_vision_model": FLAT,
    "swin": {**STAGES, "embed_dim": 8, "num_heads": [1, 2], "window_size": 4},
    "convnext": {**STAGES, "hidden_sizes": [8, 16], "num_stages": 2},
}  # fmt: skip
WORDS: dict[str, Any] = {
    "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24, "vocab_size": 400,
    "max_position_embeddings": 66, "pad_token_id": 0,
}  # fmt: skip
ONES = {"bos_token_id": 1, "eos_token_id": 2, "cls_token_id": 1, "sep_token_id": 2}
TEXTS: dict[str, dict[str, Any]] = {
    **dict.fromkeys(TEXT_FAMILIES, WORDS),
    "modernbert": {**WORDS, **ONES},
}


def test_every_family_is_tested() -> None:
    assert set(IMAGES) == set(IMAGE_FAMILIES)
    assert set(TEXTS) == set(TEXT_FAMILIES)


def image_checkpoint(family: str, folder: Path) -> Any:
    torch.manual_seed(1)
    source = AutoModel.from_config(AutoConfig.for_model(family, num_channels=3, **IMAGES[family])).eval()
    with torch.no_grad():
        for name, parameter in source.named_parameters():
            if "position" in name:
                parameter.normal_()
    source.save_pretrained(folder)
    return source


def tower(family: str, side: int = 32, pool: str = "mean") -> ImageTower:
    config = {"model_type": family, "num_channels": 1, **IMAGES[family], "image_size": side}
    return ImageTower(config, stem="patch", pool=pool, mean=0.5, std=0.25).eval()


def text_checkpoint(family: str, folder: Path, **changes: Any) -> Any:
    torch.manual_seed(2)
    source = AutoModel.from_config(AutoConfig.for_model(family, **{**TEXTS[family], **changes})).eval()
    source.save_pretrained(folder)
    tiny_processor().tokenizer.save_pretrained(folder)
    return source


@pytest.mark.parametrize("family", IMAGES)
@torch.no_grad()
def test_a_gray_image_gives_the_tokens_that_the_checkpoint_gives_of_three_equal_channels(
    family: str, tmp_path: Path
) -> None:
    source, gray = image_checkpoint(family, tmp_path), torch.rand(2, 1, 32, 32)
    own = tower(family)
    adopt_image_checkpoint(own, str(tmp_path))
    expected = source(((gray - 0.5) / 0.25).expand(-1, 3, -1, -1)).last_hidden_state
    if family == "convnext":  # its own norm is behind the pool
        expected = source.layernorm(expected.flatten(2).transpose(1, 2))
    tokens = own(gray).tokens
    assert torch.allclose(tokens, expected[:, -tokens.shape[1] :], atol=1e-5)
    assert tokens.shape == (2, own.grid**2, own.width)


@pytest.mark.parametrize("family", IMAGES)
@torch.no_grad()
def test_a_checkpoint_serves_any_size_that_its_patches_divide(family: str, tmp_path: Path) -> None:
    image_checkpoint(family, tmp_path)
    if family == "swin":
        with pytest.raises(XLIPError, match="its windows take 4; take at least 32"):
            tower(family, 16)
    for side in (16, 48, 64)[family == "swin" :]:
        own = tower(family, side)
        adopt_image_checkpoint(own, str(tmp_path))
        tokens = own(torch.rand(1, 1, side, side)).tokens
        assert tokens.shape[1] == (side // 8) ** 2 == own.grid**2
        assert torch.isfinite(tokens).all()


@pytest.mark.parametrize("family", [name for name, one in IMAGE_FAMILIES.items() if not one.staged])
@torch.no_grad()
def test_nothing_of_a_hidden_patch_is_seen_and_with_none_hidden_all_is_as_always(family: str) -> None:
    torch.manual_seed(0)
    own, pixels = tower(family), torch.rand(2, 1, 32, 32)
    hidden = torch.zeros(2, 16, dtype=torch.bool)
    assert torch.allclose(own.visible(pixels, hidden).tokens, own(pixels).tokens, atol=1e-6)
    hidden[0, 5], hidden[1, 2] = True, True
    changed = pixels.clone()
    changed[0, :, 8:16, 8:16] = 1 - changed[0, :, 8:16, 8:16]
    first, second = own.visible(pixels, hidden), own.visible(changed, hidden, 15)
    assert torch.equal(first.tokens, second.tokens)
    assert not first.tokens[0, 5].any()
    assert not first.tokens[1, 2].any()


@pytest.mark.parametrize("family", ["swin", "convnext"])
def test_a_tower_of_stages_refuses_to_leave_out_patches_and_a_class_token(family: str) -> None:
    with pytest.raises(XLIPError, match=r"cannot leave out patches; take attmim\.where: feature"):
        tower(family).visible(torch.rand(1, 1, 32, 32), torch.zeros(1, 16, dtype=torch.bool))
    with pytest.raises(XLIPError, match="no class token; take max or mean"):
        tower(family, pool="cls")
    with pytest.raises(XLIPError, match="has a stem of its own; take stem: patch"):
        ImageTower({"model_type": family, "num_channels": 1, **IMAGES[family]}, stem="conv", pool="max", mean=0, std=1)


@pytest.mark.parametrize("family", TEXTS)
@torch.no_grad()
def test_a_text_tower_repeats_its_checkpoint_and_padding_changes_nothing(family: str, tmp_path: Path) -> None:
    source = text_checkpoint(family, tmp_path)
    config = checkpoint_config(str(tmp_path), "model.text_checkpoint")
    own = TextTower(config, pool="mean").eval()
    own.encoder.load_state_dict({k: v for k, v in source.state_dict().items() if k in own.encoder.state_dict()})
    ids, mask = torch.randint(5, 400, (2, 6)), torch.ones(2, 6, dtype=torch.bool)
    tokens = own(ids, mask).tokens
    assert torch.allclose(tokens, source(ids, attention_mask=mask.long()).last_hidden_state, atol=1e-5)
    padded, longer = (torch.nn.functional.pad(one, (0, 3)) for one in (ids, mask))
    assert torch.allclose(own(padded, longer).tokens[:, :6], tokens, atol=1e-5)
    assert own.word_embeddings.shape == (400, 16)
    assert len(own.blocks) == 2


TOGETHER = [*((image, "bert") for image in IMAGES), *(("vit", text) for text in TEXTS if text != "bert")]


@pytest.mark.parametrize(("image", "text"), TOGETHER)
def test_a_model_of_any_two_families_trains_with_every_term_is_saved_and_loaded(
    image: str, text: str, tmp_path: Path
) -> None:
    image_checkpoint(image, tmp_path / "image")
    text_checkpoint(text, tmp_path / "text")
    changes = {"image_checkpoint": str(tmp_path / "image"), "text_checkpoint": str(tmp_path / "text")}
    processor = XLIPProcessor(tiny_processor().tokenizer, 64, "letterbox", 48)
    model = build_model(replace(CONFIG, **changes), processor, 0)
    names = ("contrastive", "attmim", "entmlm", "image_kind", "kind_contrast", "local_kind")
    where = {"where": "feature" if IMAGE_FAMILIES[image].staged else "reencode"}
    task = Pretrainer(model.train(), build_objectives({name: where if name == "attmim" else {} for name in names}))
    losses = task(tiny_batch(model, 2, 2, 1), 1.0, torch.Generator().manual_seed(0))
    losses.total.backward()
    assert torch.isfinite(losses.total)
    kernel = dict(model.named_parameters())[f"image_tower.encoder.{model.image_tower.family.kernel}.weight"]
    assert kernel.grad.abs().sum() > 0
    model.eval().save_pretrained(tmp_path / "model")
    loaded, pixels = XLIPModel.from_pretrained(tmp_path / "model"), torch.rand(1, 1, 64, 64)
    assert torch.allclose(loaded.encode_pixels(pixels), model.encode_pixels(pixels), atol=1e-6)
    assert torch.allclose(loaded.encode_text("effusion"), model.encode_text("effusion"), atol=1e-6)


def test_the_image_half_of_a_siglip_checkpoint_is_taken(tmp_path: Path) -> None:
    torch.manual_seed(0)
    vision = dict(FLAT)
    words = {k: v for k, v in WORDS.items() if k != "pad_token_id"}
    whole = AutoModel.from_config(AutoConfig.for_model("siglip", vision_config=vision, text_config=words)).eval()
    whole.save_pretrained(tmp_path)
    config = checkpoint_config(str(tmp_path))
    assert config["model_type"] == "siglip_vision_model"
    own = ImageTower({**config, "num_channels": 1}, stem="patch", pool="mean", mean=0.5, std=0.25).eval()
    adopt_image_checkpoint(own, str(tmp_path))
    gray = torch.rand(1, 1, 32, 32)
    with torch.no_grad():
        expected = whole.vision_model(((gray - 0.5) / 0.25).expand(-1, 3, -1, -1)).last_hidden_state
        assert torch.allclose(own(gray).tokens, expected, atol=1e-5)


@pytest.mark.parametrize(("family", "option"), [("resnet", "image"), ("gpt2", "text"), ("distilbert", "text")])
def test_other_families_are_refused_in_one_line(family: str, option: str, tmp_path: Path) -> None:
    AutoConfig.for_model(family).save_pretrained(tmp_path)
    with pytest.raises(XLIPError, match=rf"expected one of .*; got '{family}'") as caught:
        checkpoint_config(str(tmp_path), f"model.{option}_checkpoint")
    assert "\n" not in str(caught.value)
