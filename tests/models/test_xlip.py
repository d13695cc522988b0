from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from tiny import tiny_batch, tiny_model
from xlip.errors import XLIPError
from xlip.images.files import encode
from xlip.models.configuration import XLIPConfig
from xlip.models.xlip import XLIPModel
from xlip.phantom import generate


def test_three_lines_from_a_folder_a_path_and_a_text_to_a_cosine(tmp_path: Path) -> None:
    tiny_model().save_pretrained(tmp_path / "run")
    chest = tmp_path / "chest.png"
    chest.write_bytes(encode(generate(0, size=64).pixels, lossless=True))

    model = XLIPModel.from_pretrained(tmp_path / "run")
    image, text = model.encode_image(chest), model.encode_text("pleural effusion")
    cosine = float(image @ text.T)

    assert image.shape == text.shape == (1, 16)
    assert float(image.norm()) == pytest.approx(1, abs=1e-6)
    assert -1 <= cosine <= 1
    assert not image.requires_grad
    assert torch.equal(model.encode_image(generate(0, size=64).pixels), image)
    assert model.encode_image([]).shape == (0, 16)
    assert model.encode_text(["no effusion", "effusion"]).shape == (2, 16)


def test_a_saved_model_gives_the_same_embeddings_and_holds_no_pickle(tmp_path: Path) -> None:
    model = tiny_model(3).eval()
    model.save_pretrained(tmp_path)
    loaded = XLIPModel.from_pretrained(tmp_path)
    batch = tiny_batch(model)
    assert torch.equal(loaded.encode_pixels(batch.pixels), model.encode_pixels(batch.pixels))
    assert torch.equal(loaded.texts(batch.reports).embedding, model.texts(batch.reports).embedding)
    for name, value in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value), name
    assert not loaded.training
    assert {path.suffix for path in tmp_path.iterdir()} <= {".safetensors", ".json"}
    assert json.loads((tmp_path / "config.json").read_text())["model_type"] == "xlip"


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(XLIPError, match="expected an XLIP model"):
        XLIPModel.from_pretrained(tmp_path)


def test_the_scale_starts_at_its_temperature_and_stops_at_100() -> None:
    model = tiny_model()
    assert model.logit_scale_exp().item() == pytest.approx(1 / 0.07, rel=1e-5)
    for exponent in (4.0, 5.0, 50.0):
        model.logit_scale.data.fill_(exponent)
        assert model.logit_scale_exp().item() == pytest.approx(min(np.exp(exponent), 100), rel=1e-5)


def test_empty_batches_encode_to_nothing() -> None:
    model = tiny_model()
    assert model.images(torch.zeros(0, 1, 64, 64)).embedding.shape == (0, 16)
    assert model.texts(tiny_batch(model).reports[:0]).embedding.shape == (0, 16)


def test_the_same_seed_gives_the_same_weights_and_another_seed_others() -> None:
    first, again, other = tiny_model(0), tiny_model(0), tiny_model(1)
    assert torch.equal(first.image_head.weight, again.image_head.weight)
    assert not torch.equal(first.image_head.weight, other.image_head.weight)


@pytest.mark.parametrize("option", ["stem", "pool", "text_pool"])
def test_an_unknown_choice_is_refused_by_name(option: str) -> None:
    with pytest.raises(XLIPError, match=rf"model\.{option}: expected one of .*, got 'odd'"):
        XLIPConfig(**{option: "odd"})


def test_a_model_without_a_processor_says_what_to_set() -> None:
    model = tiny_model()
    model.processor = None
    with pytest.raises(ValueError, match="has no processor"):
        model.encode_text("effusion")
