from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from tiny import tiny_model
from xlip.errors import XLIPError
from xlip.evaluate.adapter import XLIPAdapter, adapted, load_model
from xlip.evaluate.cases import open_cases
from xlip.evaluate.hugging_face import HuggingFaceModel
from xlip.evaluate.zeroshot import ZeroShot
from xlip.identity import checkpoint_id
from xlip.phantom import generate
from xlip.runtime.encoder import IN_MEMORY, preprocessing_id

WORDS = ["pleural", "effusion", "no", "evidence", "of", "pneumonia", "the", "lungs", "are", "clear", "normal", "chest"]


def pixels(count: int, size: int) -> torch.Tensor:
    shown = np.stack([generate(index, size=64).pixels for index in range(count)])
    return torch.nn.functional.interpolate(torch.from_numpy(shown)[:, None].float() / 255, (size, size))


def tokenizer():
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {word: number for number, word in enumerate(["[PAD]", "[UNK]", "[EOS]", *dict.fromkeys(WORDS)])}
    made = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=made, pad_token="[PAD]", unk_token="[UNK]", eos_token="[EOS]")


@pytest.fixture(scope="module", params=["clip", "siglip"])
def hugging_face(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, object]:
    from transformers import CLIPConfig, CLIPModel, SiglipConfig, SiglipModel

    sides = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = {**sides, "vocab_size": 40, "max_position_embeddings": 12, "pad_token_id": 0, "eos_token_id": 2}
    vision = {**sides, "image_size": 48, "patch_size": 16}
    torch.manual_seed(0)
    if request.param == "clip":
        model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=8)).eval()
        settings = {"do_center_crop": True, "image_mean": [0.48, 0.46, 0.41], "image_std": [0.27, 0.26, 0.28]}
    else:
        model = SiglipModel(SiglipConfig(text_config=text, vision_config=vision)).eval()
        settings = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
    folder = tmp_path_factory.mktemp("hf") / request.param
    model.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    return folder, model


def test_a_bare_model_is_adapted_and_an_adapted_one_stays() -> None:
    adapter = adapted(tiny_model())
    assert adapter.identity == IN_MEMORY
    assert adapted(adapter) is adapter
    assert preprocessing_id(adapter.with_preprocess("clip")) == "clip/64"


def test_a_loaded_model_encodes_as_the_model_itself(checkpoint: Path) -> None:
    model, adapter = tiny_model().eval(), load_model(str(checkpoint))
    shown = pixels(2, 64)
    assert adapter.identity == checkpoint_id(str(checkpoint))
    assert len(adapter.identity) == 12
    assert torch.allclose(adapter.encode_pixels(shown), model.encode_pixels(shown), atol=1e-6)
    assert torch.allclose(adapter.encode_text(["effusion"]), model.encode_text("effusion"), atol=1e-6)
    assert adapter.scale() == pytest.approx(1 / 0.07)


def test_patches_are_in_reading_order_and_in_the_joint_space() -> None:
    model = tiny_model().eval()
    shown = pixels(2, 64)
    patches = XLIPAdapter(model).encode_patches(shown)
    grid = model.image_tower.grid
    assert patches.shape == (2, grid, grid, model.config.embed_dim)
    assert torch.allclose(patches.norm(dim=-1), torch.ones(2, grid, grid), atol=1e-5)
    with torch.no_grad():
        token = model.image_head(model.images(shown).tokens[1, grid + 2])
    assert torch.allclose(patches[1, 1, 2], token / token.norm(), atol=1e-5)


def test_a_checkpoint_of_another_architecture_is_named(hugging_face: tuple[Path, object]) -> None:
    folder, _ = hugging_face
    with pytest.raises(XLIPError, match=rf"a checkpoint of the architecture '{folder.name}', expected 'xlip'.*hf:"):
        load_model(str(folder))


@pytest.mark.parametrize(("part", "key", "value"), [("image", "num_hidden_layers", 3), ("image", "hidden_size", 16)])
def test_weights_that_do_not_fit_the_config_are_refused(
    part: str, key: str, value: int, checkpoint: Path, tmp_path: Path
) -> None:
    shutil.copytree(checkpoint, tmp_path / "changed")
    config = json.loads((tmp_path / "changed" / "config.json").read_text())
    config[part][key] = value
    (tmp_path / "changed" / "config.json").write_text(json.dumps(config))
    with pytest.raises(XLIPError, match="changed: the checkpoint"):
        load_model(str(tmp_path / "changed"))


@pytest.mark.parametrize("prefix", ["", "hf:"])
def test_nothing_there_is_one_line(prefix: str, tmp_path: Path) -> None:
    with pytest.raises(XLIPError, match="nowhere") as caught:
        load_model(f"{prefix}{tmp_path}/nowhere")
    assert "\n" not in str(caught.value)


def test_hugging_face_features_are_those_of_the_model(hugging_face: tuple[Path, object]) -> None:
    folder, model = hugging_face
    adapter = load_model(f"hf:{folder}")
    assert isinstance(adapter, HuggingFaceModel)
    assert preprocessing_id(adapter) == ("clip/48" if folder.name == "clip" else "squash/48")
    assert adapter.identity == f"hf:{checkpoint_id(str(folder))}"
    shown = pixels(3, 48)
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (adapter.mean, adapter.std))
    with torch.no_grad():
        vision = model.vision_model(pixel_values=(shown.expand(-1, 3, -1, -1) - mean) / std).pooler_output
        expected = model.visual_projection(vision) if folder.name == "clip" else vision
        assert adapter.scale() == pytest.approx(float(model.logit_scale.exp()))
    found = adapter.encode_pixels(shown)
    assert torch.allclose(found, torch.nn.functional.normalize(expected, dim=-1), atol=1e-5)
    with pytest.raises(XLIPError, match="no patch embeddings"):
        adapter.encode_patches(shown)


def test_hugging_face_texts_do_not_depend_on_their_neighbours(hugging_face: tuple[Path, object]) -> None:
    adapter = load_model(f"hf:{hugging_face[0]}")
    long = " ".join(WORDS * 3)
    alone, together = adapter.encode_text(["pleural effusion"]), adapter.encode_text(["pleural effusion", long])
    assert torch.allclose(alone[0], together[0], atol=1e-5)
    assert torch.allclose(together.norm(dim=-1), torch.ones(2), atol=1e-5)
    assert not torch.allclose(together[0], together[1], atol=1e-3)


def test_hugging_face_models_are_evaluated_on_the_same_split(hugging_face: tuple[Path, object], phantoms: Path) -> None:
    results = [
        ZeroShot(replicates=2, prompts="chexzero").run(model, open_cases(str(phantoms)))
        for model in (load_model(f"hf:{hugging_face[0]}"), tiny_model().eval())
    ]
    assert results[0].identity["split"] == results[1].identity["split"]
    assert results[0].identity["checkpoint"].startswith("hf:")
    assert results[0].predictions is not None
    assert (results[0].predictions.scores != results[1].predictions.scores).any()  # type: ignore[union-attr]


def test_a_model_without_texts_is_refused(tmp_path: Path) -> None:
    from transformers import ViTConfig, ViTModel

    sides = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    ViTModel(ViTConfig(image_size=32, patch_size=16, **sides)).save_pretrained(tmp_path / "vit")
    tokenizer().save_pretrained(tmp_path / "vit")
    with pytest.raises(XLIPError, match="ViTModel has no get_image_features"):
        load_model(f"hf:{tmp_path / 'vit'}")
