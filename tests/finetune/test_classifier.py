from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tiny import KINDS, tiny_model
from xlip import XLIPClassifier, XLIPError
from xlip.finetune.classifier import CONFIG, WEIGHTS
from xlip.images.files import encode
from xlip.phantom import generate

PIXELS = [generate(index, size=64).pixels for index in range(5)]


def classifier(seed: int = 0) -> XLIPClassifier:
    return XLIPClassifier.of(tiny_model(seed).eval(), KINDS).eval()


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved")
    model = classifier()
    model.notes = {"fraction": 0.1}
    model.save_pretrained(folder)
    return folder


def copy(saved: Path, folder: Path) -> Path:
    for file in saved.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    return folder


def test_a_saved_model_scores_as_it_did(saved: Path) -> None:
    assert {file.name for file in saved.iterdir()} == {CONFIG, WEIGHTS}
    loaded = XLIPClassifier.from_pretrained(saved)
    stacked = np.stack(PIXELS)
    expected = XLIPClassifier.of(tiny_model().eval(), KINDS)
    expected.load_state_dict(loaded.state_dict())
    assert np.array_equal(loaded.predict_pixels(stacked), expected.predict_pixels(stacked))
    assert loaded.kinds == KINDS
    assert loaded.notes == {"fraction": 0.1}
    assert not loaded.training


def test_every_form_of_an_image_gives_the_same_scores(tmp_path: Path) -> None:
    model = classifier()
    (tmp_path / "chest.png").write_bytes(encode(PIXELS[0], lossless=True))
    forms = [
        PIXELS[0],
        Image.fromarray(PIXELS[0]),
        encode(PIXELS[0], lossless=True),
        tmp_path / "chest.png",
        str(tmp_path / "chest.png"),
    ]
    one = model.predict(forms[0])
    assert set(one[0]) == set(KINDS)
    for form in forms:
        assert model.predict(form)[0] == pytest.approx(one[0], abs=1e-6)
    together = model.predict(iter(forms), batch_size=2)
    assert len(together) == len(forms)
    assert np.allclose(together.probabilities, one.probabilities, atol=1e-6)
    assert ((together.probabilities > 0) & (together.probabilities < 1)).all()
    assert model.predict([]).probabilities.shape == (0, len(KINDS))


def test_weights_of_another_architecture_are_refused(saved: Path, tmp_path: Path) -> None:
    folder = copy(saved, tmp_path)
    config = json.loads((folder / CONFIG).read_text())
    config["shape"]["embed_dim"] = 24
    (folder / CONFIG).write_text(json.dumps(config))
    with pytest.raises(XLIPError, match=r"weights of another architecture \(2 differ; head.weight: expected \(4, 24\)"):
        XLIPClassifier.from_pretrained(folder)


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS])
def test_a_damaged_model_is_one_line(name: str, saved: Path, tmp_path: Path) -> None:
    folder = copy(saved, tmp_path)
    (folder / name).write_bytes((folder / name).read_bytes()[:40])
    with pytest.raises(XLIPError, match="a damaged fine-tuned model") as caught:
        XLIPClassifier.from_pretrained(folder)
    assert "\n" not in str(caught.value)


def test_a_folder_without_a_model_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(XLIPError, match=rf"found no {CONFIG}; run `xlip finetune` first"):
        XLIPClassifier.from_pretrained(tmp_path)
