from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import BertConfig, BertModel, Dinov2Config, Dinov2Model, ViTConfig, ViTModel

from tiny import CONFIG, tiny_model, tiny_processor
from xlip.batches.processor import XLIPProcessor
from xlip.batches.tokenizer import train_wordpiece
from xlip.errors import XLIPError
from xlip.models.towers import ImageTower, TextTower, adopt_image_checkpoint, adopt_text_checkpoint, checkpoint_config
from xlip.models.xlip import XLIPModel
from xlip.train.build import ModelConfig, build_model

TINY: dict[str, Any] = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
IMAGE: dict[str, Any] = {**TINY, "image_size": 32, "patch_size": 8, "num_channels": 1}
BERT: dict[str, Any] = {**TINY, "model_type": "bert", "vocab_size": 50, "intermediate_size": 16}
MLP: dict[str, dict[str, int]] = {"vit": {"intermediate_size": 16}, "dinov2": {"mlp_ratio": 1}}
CHECKPOINTS = {
    "vit": lambda **options: ViTModel(ViTConfig(**MLP["vit"], **options)),
    "dinov2": lambda **options: Dinov2Model(Dinov2Config(**MLP["dinov2"], **options)),
}


def image_tower(family: str, pool: str = "mean", **changes: Any) -> ImageTower:
    torch.manual_seed(0)
    config = {"model_type": family, **IMAGE, **MLP.get(family, {}), **changes}
    return ImageTower(config, stem="patch", pool=pool, mean=0.5, std=0.25).eval()


def text_tower(pool: str = "mean") -> TextTower:
    torch.manual_seed(0)
    return TextTower(BERT, pool=pool).eval()


def image_checkpoint(family: str, folder: Path, **changes: Any) -> Any:
    torch.manual_seed(1)
    model = CHECKPOINTS[family](**{**IMAGE, "num_channels": 3, **changes}).eval()
    torch.nn.init.normal_(model.embeddings.position_embeddings)
    model.save_pretrained(folder)
    return model


@pytest.mark.parametrize("pool", ["max", "mean", "cls"])
@pytest.mark.parametrize("family", CHECKPOINTS)
def test_an_image_tower_gives_patch_tokens_and_their_pool(family: str, pool: str) -> None:
    tower = image_tower(family, pool)
    tokens, pooled = tower(torch.rand(3, 1, 32, 32))
    assert tokens.shape == (3, 16, 16)
    if pool == "cls":
        assert pooled.shape == (3, 16)
        assert not torch.allclose(pooled, tokens.mean(1))
    else:
        assert torch.equal(pooled, tokens.amax(1) if pool == "max" else tokens.mean(1))


@pytest.mark.parametrize("family", CHECKPOINTS)
def test_a_hidden_patch_cannot_be_seen(family: str) -> None:
    tower, pixels = image_tower(family), torch.rand(1, 1, 32, 32)
    hidden = torch.zeros(1, 16, dtype=torch.bool)
    hidden[0, 5] = True  # row 1, column 1 of 4 x 4
    changed = pixels.clone()
    changed[..., 8:16, 8:16] = 1 - changed[..., 8:16, 8:16]
    first, second = tower.visible(pixels, hidden), tower.visible(changed, hidden)
    assert torch.equal(first.tokens, second.tokens)
    assert not first.tokens[0, 5].any()
    assert not torch.equal(tower(pixels).tokens, tower(changed).tokens)


@pytest.mark.parametrize("pool", ["mean", "cls"])
def test_padding_changes_nothing_in_a_text_tower(pool: str) -> None:
    tower, ids = text_tower(pool), torch.randint(1, 50, (2, 5))
    mask = torch.ones(2, 5, dtype=torch.bool)
    padded, padded_mask = torch.nn.functional.pad(ids, (0, 3)), torch.nn.functional.pad(mask, (0, 3))
    assert torch.allclose(tower(ids, mask).pooled, tower(padded, padded_mask).pooled, atol=1e-6)
    assert torch.allclose(tower(ids, mask).tokens, tower(padded, padded_mask).tokens[:, :5], atol=1e-6)


def test_empty_batches_have_the_shapes_of_full_ones() -> None:
    text = text_tower()(torch.zeros(0, 7, dtype=torch.long), torch.zeros(0, 7, dtype=torch.bool))
    assert (text.tokens.shape, text.pooled.shape) == ((0, 7, 16), (0, 16))
    for family in CHECKPOINTS:
        image = image_tower(family)(torch.zeros(0, 1, 32, 32))
        assert (image.tokens.shape, image.pooled.shape) == ((0, 16, 16), (0, 16))


@pytest.mark.parametrize("family", CHECKPOINTS)
def test_gray_kernels_are_the_sum_of_the_colour_kernels(family: str, tmp_path: Path) -> None:
    source = image_checkpoint(family, tmp_path)
    tower, gray = image_tower(family), torch.rand(2, 1, 32, 32)
    adopt_image_checkpoint(tower, str(tmp_path))
    normed = (gray - 0.5) / 0.25
    expected = source(normed.expand(-1, 3, -1, -1)).last_hidden_state
    assert torch.allclose(tower(gray).tokens, expected[:, 1:], atol=1e-5)


@pytest.mark.parametrize("family", CHECKPOINTS)
def test_positions_are_interpolated_to_a_larger_grid(family: str, tmp_path: Path) -> None:
    source = image_checkpoint(family, tmp_path)
    with torch.no_grad():  # a slope down the rows, nothing along the columns
        source.embeddings.position_embeddings[:, 1:] = torch.arange(4.0).repeat_interleave(4)[None, :, None]
    source.save_pretrained(tmp_path)
    tower = image_tower(family, image_size=64)
    adopt_image_checkpoint(tower, str(tmp_path))
    position = tower.encoder.embeddings.position_embeddings.detach()
    assert torch.equal(position[:, 0], source.embeddings.position_embeddings[:, 0])
    rows = position[0, 1:].view(8, 8, 16)
    assert torch.allclose(rows, rows[:, :1].expand_as(rows), atol=1e-5)
    assert torch.allclose(rows[2:6, 0, 0], torch.tensor([0.75, 1.25, 1.75, 2.25]), atol=0.1)  # cubic


def test_a_text_tower_from_a_checkpoint_repeats_it(tmp_path: Path) -> None:
    torch.manual_seed(2)
    source = BertModel(BertConfig(**{k: v for k, v in BERT.items() if k != "model_type"}), add_pooling_layer=False)
    source.eval().save_pretrained(tmp_path)
    tower, ids = text_tower(), torch.randint(1, 50, (2, 6))
    mask = torch.ones(2, 6, dtype=torch.bool)
    adopt_text_checkpoint(tower, str(tmp_path))
    assert torch.allclose(tower(ids, mask).tokens, source(ids).last_hidden_state, atol=1e-5)
    assert torch.equal(tower.word_embeddings, source.embeddings.word_embeddings.weight)


def test_an_image_tower_starts_from_that_of_an_xlip_run(tmp_path: Path) -> None:
    source = tiny_model(seed=3).eval()
    source.save_pretrained(tmp_path / "run")
    config = replace(CONFIG, image_checkpoint=str(tmp_path / "run"), width=999, depth=7)
    model = build_model(config, tiny_processor(), 0).eval()
    pixels = torch.rand(2, 1, 64, 64)
    assert torch.equal(model.image_tower(pixels).tokens, source.image_tower(pixels).tokens)
    assert not torch.equal(model.encode_pixels(pixels), source.encode_pixels(pixels))  # the head is its own
    larger = build_model(replace(config, image_size=128), tiny_processor(), 0).eval()
    assert larger.image_tower(torch.rand(1, 1, 128, 128)).tokens.shape == (1, 64, 32)
    with pytest.raises(XLIPError, match="do not fit this tower"):
        build_model(replace(config, stem="conv"), tiny_processor(), 0)


@pytest.mark.parametrize("text", ["{", "[1]"])
def test_a_damaged_config_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(XLIPError, match=r"config\.json: .*not a model's config"):
        checkpoint_config(str(tmp_path))


def test_a_checkpoint_of_another_shape_is_refused_with_a_remedy(tmp_path: Path) -> None:
    image_checkpoint("vit", tmp_path, hidden_size=32)
    with pytest.raises(XLIPError, match=r"do not fit this tower.*stem: patch") as caught:
        adopt_image_checkpoint(image_tower("vit"), str(tmp_path))
    assert "\n" not in str(caught.value)


def test_unknown_families_and_options_are_refused() -> None:
    with pytest.raises(XLIPError, match=r"expected one of vit, dinov2, .*got 'resnet'"):
        image_tower("resnet")
    with pytest.raises(XLIPError, match="unknown option 'hiden_size'"):
        image_tower("vit", hiden_size=3)


def test_keys_of_old_checkpoints_that_the_family_does_not_know_are_left_out(tmp_path: Path) -> None:
    ViTConfig(**IMAGE, layer_of_long_ago=3).save_pretrained(tmp_path)
    config = checkpoint_config(str(tmp_path))
    assert "layer_of_long_ago" not in config
    assert config["hidden_size"] == 16


@pytest.mark.parametrize("family", CHECKPOINTS)
def test_a_model_starts_from_local_checkpoints_at_their_default_patch_size(family: str, tmp_path: Path) -> None:
    default = {"vit": 16, "dinov2": 14}[family]
    image_checkpoint(family, tmp_path / "image", patch_size=default, image_size=4 * default)
    tokenizer = train_wordpiece(["no pleural effusion.", "small nodule."], vocab_size=200)
    tokenizer.save_pretrained(tmp_path / "text")
    bert = BertConfig(**{**TINY, "vocab_size": len(tokenizer), "intermediate_size": 16})
    BertModel(bert).save_pretrained(tmp_path / "text")
    paths = {"image_checkpoint": str(tmp_path / "image"), "text_checkpoint": str(tmp_path / "text")}
    config = ModelConfig(
        image_size=2 * default, embed_dim=8, decoder_width=16, decoder_heads=2, decoder_layers=1, **paths
    )
    processor = XLIPProcessor(tokenizer, config.image_size)
    model = build_model(config, processor, 0).eval()
    assert model.image_tower.patch_size == default == checkpoint_config(paths["image_checkpoint"])["patch_size"]
    model.save_pretrained(tmp_path / "model")
    loaded, pixels = XLIPModel.from_pretrained(tmp_path / "model"), torch.rand(1, 1, 2 * default, 2 * default)
    assert torch.allclose(loaded.encode_text("small nodule"), model.encode_text("small nodule"), atol=1e-6)
    assert torch.allclose(loaded.encode_pixels(pixels), model.encode_pixels(pixels), atol=1e-6)


def test_a_signed_mean_starts_as_the_mean_and_lets_one_word_turn_all_others_round() -> None:
    torch.manual_seed(0)
    config = {"model_type": "bert", "vocab_size": 30, **TINY}
    plain, signed = TextTower(config, pool="mean").eval(), TextTower(config, pool="polarity").eval()
    signed.encoder.load_state_dict(plain.encoder.state_dict())
    signed.reset_polarity()
    ids, mask = torch.tensor([[2, 7, 9, 3], [2, 8, 3, 0]]), torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]]).bool()
    unit = torch.nn.functional.normalize
    with torch.no_grad():
        mean, start = plain(ids, mask).pooled, signed(ids, mask).pooled
        assert torch.allclose(unit(start, dim=1), unit(mean, dim=1), atol=1e-5)
        # A weight that answers to word 9 in the text: every token of that text turns, those of the other do not.
        words = signed.encoder.get_input_embeddings().weight
        about = lambda row: torch.nn.functional.layer_norm(words[ids[row]][mask[row]].mean(0), (16,))  # noqa: E731
        signed.polarity.weight[0, 16:] = about(1) - about(0)
        signed.polarity.bias.zero_()
        turned = signed(ids, mask).pooled
    assert torch.nn.functional.cosine_similarity(turned[0], mean[0], dim=0) < -0.9
    assert torch.nn.functional.cosine_similarity(turned[1], mean[1], dim=0) > 0.9
