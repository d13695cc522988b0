"""`phantom` names the checkpoint of the package wherever a model is named, and says everywhere what it knows."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from xlip import ExportedModel, XLIPModel, evaluate_zero_shot
from xlip.checksums import changed_files
from xlip.cli import main
from xlip.cli.encoders import open_encoder
from xlip.identity import checkpoint_id
from xlip.pages.training_facts import training_facts
from xlip.phantom import generate
from xlip.preparation.run import prepare
from xlip.shipped import FOLDER, NAME, encoder_place, is_shipped, model_place

PROMPTS = ["pleural effusion", "no pleural effusion"]


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Phantoms that the training did not see."""
    folder = tmp_path_factory.mktemp("films") / "set"
    options = {"count": 60, "size": 128, "seed": 77}
    prepare("phantom", Path(), folder, workers=0, options=options)
    return folder


def test_it_is_whole_small_and_names_no_place_of_the_machine_that_trained_it() -> None:
    assert changed_files(FOLDER, all_files=False) == []
    assert (FOLDER / "model.safetensors").stat().st_size < 10_000_000
    assert sum(file.stat().st_size for file in FOLDER.rglob("*") if file.is_file()) < 12_000_000
    found = [file for file in FOLDER.rglob("*") if file.suffix in (".json", ".md", ".onnx")]
    assert len(found) > 12
    for file in found:
        content = file.read_bytes()
        assert not any(place in content for place in (b"/tmp", b"/home", b"/root", b"/work", b"/Users")), file


def test_it_knows_phantoms_only_and_says_so(caplog: pytest.LogCaptureFixture, films: Path, tmp_path: Path) -> None:
    card = (FOLDER / "README.md").read_text("utf-8")
    assert "computer-made phantoms alone" in card.partition("## Intended use")[0]
    facts = training_facts(FOLDER)
    assert facts is not None
    assert {one.source for one in facts.sets} == {"phantom"}
    assert all(one.counts["studies"] > 0 for one in facts.sets)
    with caplog.at_level(logging.WARNING):
        XLIPModel.from_pretrained(NAME)
    assert "computer-made phantoms alone" in caplog.text
    words = ["--model", NAME, "--data", str(films), "--replicates", "20", "--out", str(tmp_path / "out")]
    assert main(["zeroshot", *words]) == 0
    assert "Trained on drawn phantoms alone" in (tmp_path / "out" / "README.md").read_text("utf-8")
    assert main(["save", "--model", NAME, "--out", str(tmp_path / "saved")]) == 0
    assert "Trained on drawn phantoms alone" in (tmp_path / "saved" / "README.md").read_text("utf-8")


def test_it_finds_effusions_on_phantoms_that_it_never_saw(films: Path) -> None:
    result = evaluate_zero_shot(NAME, str(films), kinds="Effusion", replicates=0, cache=False)
    assert result.kinds is not None
    assert (result.kinds.per_kind["Effusion"].auroc or 0) > 0.9
    assert result.identity["checkpoint"] == checkpoint_id(NAME) == checkpoint_id(str(FOLDER))


def test_without_torch_the_graphs_say_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    squares = np.stack([generate(number, size=128).pixels for number in range(3)])
    whole = open_encoder(NAME)
    graphs = ExportedModel.open(NAME)
    assert graphs.identity == whole.identity
    np.testing.assert_allclose(graphs.encode_squares(squares), whole.encode_squares(squares), atol=1e-4)
    np.testing.assert_allclose(graphs.encode_texts(PROMPTS), whole.encode_texts(PROMPTS), atol=1e-4)
    monkeypatch.setattr("xlip.shipped.find_spec", lambda name: None)
    assert Path(encoder_place(NAME)).name == "onnx"
    assert isinstance(open_encoder(NAME), ExportedModel)


def test_a_folder_of_that_name_with_a_model_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert is_shipped(NAME)
    assert model_place("runs/mine") == "runs/mine"
    (tmp_path / NAME).mkdir()
    assert is_shipped(NAME)
    (tmp_path / NAME / "config.json").write_text("{}")
    assert not is_shipped(NAME)
    assert model_place(NAME) == NAME


def test_the_service_says_it_in_every_answer() -> None:
    from xlip.serve.config import ServeConfig
    from xlip.serve.service import Service

    for model, said in ((NAME, True), (str(FOLDER), True), ("runs/mine", False)):
        service = Service(ServeConfig(model), ExportedModel.open(NAME))
        assert ("computer-made phantoms alone" in service.info.warning) == said
