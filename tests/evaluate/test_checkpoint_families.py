"""Everything usable is evaluated: five families of `transformers`, exported graphs, fine-tuned classifiers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
import yaml
from test_adapter import tokenizer

from xlip.cli import main
from xlip.errors import XLIPError
from xlip.evaluate.adapter import load_model
from xlip.evaluate.classifier import ClassifierModel
from xlip.results.folder import read_result

if TYPE_CHECKING:
    from exports import Exported

SIDES = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
TEXT = {**SIDES, "vocab_size": 40, "max_position_embeddings": 20, "pad_token_id": 0, "eos_token_id": 2}
VISION = {**SIDES, "image_size": 48, "patch_size": 16}


def clip() -> torch.nn.Module:
    from transformers import CLIPConfig, CLIPModel

    return CLIPModel(CLIPConfig(text_config=TEXT, vision_config=VISION, projection_dim=8))


def siglip() -> torch.nn.Module:
    from transformers import SiglipConfig, SiglipModel

    return SiglipModel(SiglipConfig(text_config=TEXT, vision_config=VISION))


def dual_encoder() -> torch.nn.Module:
    """ViT and BERT, the form that BiomedCLIP and its like have in transformers."""
    from transformers import BertConfig, VisionTextDualEncoderConfig, VisionTextDualEncoderModel, ViTConfig

    sides = ViTConfig(**VISION), BertConfig(**TEXT)
    return VisionTextDualEncoderModel(VisionTextDualEncoderConfig.from_vision_text_configs(*sides, projection_dim=8))


def altclip() -> torch.nn.Module:
    from transformers import AltCLIPConfig, AltCLIPModel

    text = {**TEXT, "project_dim": 16, "pad_token_id": 0}
    return AltCLIPModel(AltCLIPConfig(text_config=text, vision_config=VISION, projection_dim=8))


def chinese_clip() -> torch.nn.Module:
    from transformers import ChineseCLIPConfig, ChineseCLIPModel

    return ChineseCLIPModel(ChineseCLIPConfig(text_config=TEXT, vision_config=VISION, projection_dim=8))


def align() -> torch.nn.Module:
    from transformers import AlignConfig, AlignModel

    vision = {"image_size": 48,
              "width_coefficient": 0.2, "depth_coefficient": 0.1, "hidden_dim": 16, "kernel_sizes": [3],
              "in_channels": [32], "out_channels": [16], "strides": [2], "num_block_repeats": [1], "expand_ratios": [1],
              "depthwise_padding": []}  # fmt: skip
    return AlignModel(AlignConfig(text_config={**TEXT, "hidden_size": 16}, vision_config=vision, projection_dim=8))


FAMILIES: dict[str, Callable[[], torch.nn.Module]] = {
    "clip": clip, "siglip": siglip, "dual_encoder": dual_encoder, "altclip": altclip, "chinese_clip": chinese_clip,
    "align": align,
}  # fmt: skip


def suite(folder: Path, entries: dict[str, dict[str, object]]) -> str:
    raw = {"suite": "own", "data": {"mine": {"split": "test", "kinds": ["Effusion", "Cardiomegaly"]}}}
    (folder / "own.yaml").write_text(yaml.safe_dump({**raw, "entries": entries}))
    return str(folder / "own.yaml")


def evaluated(model: str, phantoms: Path, folder: Path, **entries: dict[str, object]) -> int:
    made = {name: {"data": "mine", **entry} for name, entry in entries.items()}
    words = ["--suite", suite(folder, made), "--model", model, "--data", f"mine={phantoms}", "--replicates", "3"]
    return main(["evaluate", *words, "--no_cache", "--out", str(folder / "out")])


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_of_transformers_is_evaluated(name: str, phantoms: Path, tmp_path: Path, capsys) -> None:
    torch.manual_seed(0)
    model = FAMILIES[name]().eval()
    folder = tmp_path / name
    model.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps({"image_mean": [0.5] * 3, "image_std": [0.5] * 3}))
    assert evaluated(f"hf:{folder}", phantoms, tmp_path, zero={"evaluator": "zeroshot"}) == 0, capsys.readouterr().out
    result = read_result(tmp_path / "out" / "zero")
    assert result.identity["checkpoint"].startswith("hf:")
    adapter = load_model(f"hf:{folder}")
    scale = 1 / model.temperature if name == "align" else model.logit_scale.exp()
    assert adapter.scale() == pytest.approx(float(scale.detach()))
    # A text longer than the model takes is cut, not a fault.
    texts = adapter.encode_text(["pleural effusion " * 40, "no effusion"])
    assert torch.allclose(texts.norm(dim=-1), torch.ones(2), atol=1e-5)


def test_a_folder_of_open_clip_is_refused_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "open_clip_config.json").write_text("{}")
    with pytest.raises(XLIPError, match=r"a checkpoint of open_clip .* convert it to a VisionTextDualEncoderModel"):
        load_model(f"hf:{tmp_path}")


def test_a_model_of_images_alone_is_refused_by_what_it_lacks(tmp_path: Path) -> None:
    from transformers import ViTConfig, ViTForImageClassification

    ViTForImageClassification(ViTConfig(**VISION)).save_pretrained(tmp_path)
    tokenizer().save_pretrained(tmp_path)
    with pytest.raises(XLIPError, match=r"expected a model of images and texts in one space .* has no get_image"):
        load_model(f"hf:{tmp_path}")


def test_exported_graphs_give_the_figures_of_their_checkpoint(exported: Exported, tmp_path: Path) -> None:
    entries = {"zero": {"evaluator": "zeroshot"}, "probe": {"evaluator": "probe", "seeds": [0]},
               "found": {"evaluator": "retrieval"}}  # fmt: skip
    results = {}
    for name, place in (("graphs", exported.folder), ("checkpoint", exported.checkpoint)):
        (tmp_path / name).mkdir()
        assert evaluated(str(place), exported.phantoms, tmp_path / name, **entries) == 0
        results[name] = [read_result(tmp_path / name / "out" / entry) for entry in ("zero", "probe", "found")]
    for ours, theirs in zip(*results.values(), strict=True):
        assert ours.identity["checkpoint"] == f"onnx:{theirs.identity['checkpoint']}"
        if ours.predictions is not None:
            assert ours.predictions.scores == pytest.approx(theirs.predictions.scores, abs=1e-3)


@pytest.mark.parametrize("form", ["torch", "onnx"])
def test_a_fine_tuned_classifier_answers_with_its_own_kinds(
    form: str, exported: Exported, tmp_path: Path, capsys
) -> None:
    place = exported.tuned if form == "torch" else exported.tuned_graphs
    entries = {"zero": {"evaluator": "zeroshot", "prompts": "all"}, "query": {"evaluator": "query", "text": "effusion"},
               "prior": {"evaluator": "prior"}, "found": {"evaluator": "retrieval"}}  # fmt: skip
    assert evaluated(str(place), exported.phantoms, tmp_path, **entries) == 1
    said = capsys.readouterr()
    assert said.out.count("FAULT") == 2, said.out
    assert said.out.count("a fine-tuned classifier has no text side") == 2
    assert "no report" not in said.err
    result = read_result(tmp_path / "out" / "zero")
    assert result.evaluator == "classify"
    assert result.identity["checkpoint"].startswith("classifier:" if form == "torch" else "onnx:")
    assert "prompts" not in result.identity
    from xlip.finetune.predict import open_classifier
    from xlip.images.any_form import square
    from xlip.study.parquet import read_studies

    classifier = open_classifier(str(place))
    shown = {one.study_id: one.image for one in read_studies(exported.phantoms) if one.split == "test"}
    squares = np.stack([square(shown[id_], classifier.image_size, classifier.preprocess)
                        for id_ in result.predictions.study_ids])  # fmt: skip
    columns = [classifier.kinds.index(kind) for kind in result.predictions.kinds]
    assert result.predictions.scores == pytest.approx(classifier.predict_pixels(squares)[:, columns], abs=1e-6)


def test_kinds_that_a_classifier_does_not_know_are_named(exported: Exported) -> None:
    from xlip.evaluate.cases import open_cases
    from xlip.evaluate.classify import Classify

    model = load_model(str(exported.tuned))
    assert isinstance(model, ClassifierModel)
    cases = open_cases(str(exported.phantoms), kinds="Effusion,Nodule")
    assert Classify(replicates=2).run(model, cases).figures.not_trained_on == ("Nodule",)
    with pytest.raises(XLIPError, match=r"the set labels Nodule: no kind in common; fine-tune on these kinds"):
        Classify().run(model, open_cases(str(exported.phantoms), kinds="Nodule"))
