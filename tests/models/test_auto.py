"""The manners of `transformers`: its auto classes, forward and the names of features."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from tiny import tiny_model
from xlip.errors import XLIPError
from xlip.models.xlip import XLIPModel

TEXTS = ["pleural effusion", "no pleural effusion"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("model")
    tiny_model().save_pretrained(place)
    return place


def test_the_auto_classes_know_the_model_once_xlip_is_imported(folder: Path) -> None:
    program = (
        "import xlip, sys\n"
        "assert not {'torch', 'transformers'} & set(sys.modules)\n"
        "from transformers import AutoConfig, AutoModel, AutoProcessor\n"
        f"made = [cls.from_pretrained({str(folder)!r}) for cls in (AutoConfig, AutoModel, AutoProcessor)]\n"
        "assert [type(one).__name__ for one in made] == ['XLIPConfig', 'XLIPModel', 'XLIPProcessor'], made\n"
        "assert made[1].processor is not None and not made[1].training\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_they_know_it_where_transformers_came_first(folder: Path) -> None:
    from transformers import AutoModel, AutoProcessor

    assert isinstance(AutoModel.from_pretrained(folder), XLIPModel)
    assert type(AutoProcessor.from_pretrained(folder)).__name__ == "XLIPProcessor"


def test_forward_and_the_processor_speak_as_clip_does(folder: Path) -> None:
    model = XLIPModel.from_pretrained(folder)
    assert model.processor is not None
    image = np.arange(64 * 64, dtype=np.uint8).reshape(64, 64)
    inputs = model.processor(images=[image, image[::-1]], text=TEXTS, return_tensors="pt")
    assert set(inputs) == {"pixel_values", "input_ids", "attention_mask"}
    with torch.no_grad():
        output = model(**inputs, return_loss=True)
    images, texts = model.encode_image([image, image[::-1].copy()]), model.encode_text(TEXTS)
    assert torch.allclose(output.image_embeds, images, atol=1e-6)
    assert torch.allclose(model.get_text_features(inputs["input_ids"], inputs["attention_mask"]), texts, atol=1e-6)
    assert torch.allclose(output.logits_per_image, model.logit_scale_exp() * images @ texts.T, atol=1e-4)
    rows, columns = output.logits_per_image, output.logits_per_text
    own = torch.arange(2)
    assert float(output.loss) == pytest.approx(float(F.cross_entropy(rows, own) + F.cross_entropy(columns, own)) / 2)
    assert model(pixel_values=inputs["pixel_values"]).text_embeds is None
    with pytest.raises(XLIPError, match="expected 'pt'"):
        model.processor(text=TEXTS, return_tensors="np")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_model_in_half_precision_takes_the_same_inputs(dtype: torch.dtype, folder: Path) -> None:
    image = np.arange(64 * 64, dtype=np.uint8).reshape(64, 64)
    whole = XLIPModel.from_pretrained(folder)
    for half in (XLIPModel.from_pretrained(folder, dtype=dtype), XLIPModel.from_pretrained(folder).to(dtype)):
        assert next(half.parameters()).dtype == dtype
        for found, expected in (
            (half.encode_image(image), whole.encode_image(image)),
            (half.encode_text(TEXTS), whole.encode_text(TEXTS)),
        ):
            assert found.dtype == torch.float32
            assert float((found * expected).sum(1).min()) > 0.99
