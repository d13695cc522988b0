from __future__ import annotations

import csv
import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn
from torch.export import Dim

import xlip
from exports import Exported
from tiny import KINDS
from xlip import cli
from xlip.batches.pixels import as_pixels
from xlip.errors import XLIPError
from xlip.evaluate.adapter import XLIPAdapter, load_model
from xlip.evaluate.cases import open_cases
from xlip.evaluate.exported import ExportedAdapter
from xlip.evaluate.grounding import Grounding
from xlip.evaluate.zeroshot import ZeroShot
from xlip.export.graphs import Graph
from xlip.export.parity import TOLERANCE, Parity
from xlip.export.run import ExportConfig, export
from xlip.images.gray import Gray
from xlip.phantom import generate
from xlip.runtime.export_facts import read_facts
from xlip.runtime.exported import ExportedClassifier

SQUARES = np.stack([generate(700 + index, size=64).pixels for index in range(5)])


def test_the_folder_holds_separate_graphs_a_tokenizer_and_its_proof(exported: Exported) -> None:
    names = {file.name for file in exported.folder.iterdir()}
    made = {(form, name) for name in ("image", "text", "map") for form in ("onnx", "pt2")} | {("onnx", "image_map")}
    files = {f"{name}.{form}" for form, name in made}
    assert names == {*files, "weights.bin", "tokenizer.json", "export.json", "parity.json", "abstention.json"}
    said = json.loads((exported.folder / "parity.json").read_text())
    assert {(one["form"], one["output"]) for one in said["differences"]} == made
    assert all(0 <= one["mean"] <= one["largest"] <= TOLERANCE for one in said["differences"])
    assert said["auroc"]["checkpoint"] == pytest.approx(said["auroc"]["onnx"], abs=TOLERANCE)
    assert "macro" in said["auroc"]["onnx"]


@pytest.mark.parametrize(
    ("name", "free"),
    [
        ("image", {"pixels": ["images", 1, 64, 64]}),
        ("text", {"ids": ["texts", "tokens"], "mask": ["texts", "tokens"]}),
        ("map", {"pixels": ["images", 1, 64, 64], "queries": ["queries", 16]}),
        ("image_map", {"pixels": ["images", 1, 64, 64], "queries": ["queries", 16]}),
    ],
)
def test_sizes_that_a_user_chooses_are_free_and_have_names(
    exported: Exported, name: str, free: dict[str, list[Any]]
) -> None:
    session = onnxruntime.InferenceSession(str(exported.folder / f"{name}.onnx"))
    assert {one.name: one.shape for one in session.get_inputs()} == free
    outputs = {"image": ["image_embedding"], "text": ["text_embedding"], "map": ["answers"]}
    outputs["image_map"] = outputs["image"] + outputs["map"]
    assert [one.name for one in session.get_outputs()] == outputs[name]


def test_tower_and_map_in_one_pass_take_no_weights_of_their_own(exported: Exported) -> None:
    facts = read_facts(exported.folder)
    model = XLIPAdapter.load(str(exported.checkpoint)).model
    own = sum(weights.numel() for part in (model.image_tower, model.local) for weights in part.parameters())
    assert facts.weights == "weights.bin"
    assert facts.bytes["weights.bin"] < 1.2 * 4 * own  # each tensor once, though two graphs have it
    for name in ("image", "map", "image_map"):
        graph = onnx.load(exported.folder / f"{name}.onnx", load_external_data=False).graph
        assert sum(len(one.raw_data) for one in graph.initializer) < 20_000, name


def test_no_file_says_where_it_was_made(exported: Exported) -> None:
    """Exporters note the lines of code of each operation, with the places of their files."""
    here = str(Path(xlip.__file__).parents[1]).encode()
    for folder in (exported.folder, exported.tuned_graphs, Path(xlip.__file__).parent / "shipped" / "phantom" / "onnx"):
        for file in folder.iterdir():
            content = file.read_bytes()
            if file.suffix == ".pt2":
                with zipfile.ZipFile(file) as packed:
                    content = b"".join(packed.read(name) for name in packed.namelist())
            for place in (here, b"/home/", b"/work/", b"site-packages", b"stack_trace"):
                assert place not in content, (file.name, place)


def test_programs_load_by_torch_alone(exported: Exported) -> None:
    model = XLIPAdapter.load(str(exported.checkpoint)).model
    program = torch.export.load(exported.folder / "image.pt2").module()
    for count in (1, 5):
        pixels = as_pixels(SQUARES[:count])
        assert torch.allclose(program(pixels=pixels), model.encode_pixels(pixels), atol=1e-5)


def test_a_file_holds_the_weights_of_its_own_tower_alone(exported: Exported) -> None:
    model = XLIPAdapter.load(str(exported.checkpoint)).model
    for name, parts in (
        ("image", (model.image_tower, model.image_head)),
        ("text", (model.text_tower, model.text_head)),
    ):
        kept = torch.export.load(exported.folder / f"{name}.pt2").state_dict.values()
        assert sum(weights.numel() for weights in kept) == sum(
            weights.numel() for part in parts for weights in part.state_dict().values()
        )


def test_evaluators_see_in_an_exported_folder_what_they_see_in_the_checkpoint(exported: Exported) -> None:
    own, other = load_model(str(exported.checkpoint)), load_model(str(exported.folder))
    assert isinstance(own, XLIPAdapter)
    assert isinstance(other, ExportedAdapter)
    assert other.identity == f"onnx:{own.identity}"  # what is cached for one is not the other's
    assert other.with_preprocess("clip").preprocess == "clip"
    pixels, queries = as_pixels(SQUARES), torch.randn(3, 16)
    for name, arguments in (
        ("encode_pixels", (pixels,)),
        ("encode_text", (["effusion", "no effusion, and more words"],)),
        ("maps", (pixels, queries)),
        ("encode_and_map", (pixels, queries)),
    ):
        answers = [getattr(one, name)(*arguments) for one in (own, other)]
        for expected, found in zip(*(one if isinstance(one, tuple) else (one,) for one in answers), strict=True):
            assert expected.shape == found.shape
            assert (expected - found).abs().max() < TOLERANCE, name
    for evaluator in (ZeroShot(replicates=2, cache=False), Grounding(replicates=2)):
        results = [
            evaluator.run(one, open_cases(str(exported.phantoms), require=evaluator.require)) for one in (own, other)
        ]
        for (figure, expected, _), (_, found, _) in zip(*(one.figures.headline() for one in results), strict=True):
            assert found == pytest.approx(expected, abs=TOLERANCE), (evaluator.name, figure)
    assert own.local_share > 0  # or the map would have had no part in it


@pytest.mark.parametrize("command", ["zeroshot", "evaluate"])
def test_commands_take_an_exported_folder(command: str, exported: Exported, tmp_path: Path) -> None:
    words = ["--model", str(exported.folder), "--out", str(tmp_path / "out"), "--replicates", "5"]
    if command == "zeroshot":
        assert cli.main(["zeroshot", *words, "--data", str(exported.phantoms), "--kinds", "Effusion,Edema"]) == 0
        said = json.loads((tmp_path / "out" / "metrics.json").read_text())
        assert said["checkpoint"].startswith("onnx:")
        return
    suite = tmp_path / "suite.yaml"
    suite.write_text(
        f"suite: mine\nabout: mine\ndata: {{set: {{path: {exported.phantoms}}}}}\n"
        "entries:\n  zero: {evaluator: zeroshot, data: set}\n  tuned: {evaluator: finetune, data: set}\n"
    )
    assert cli.main(["evaluate", "--suite", str(suite), *words]) == 1  # only a checkpoint can be trained
    entries = {one["entry"]: one for one in json.loads((tmp_path / "out" / "summary.json").read_text())["entries"]}
    assert entries["zero"]["evaluator"] == "zeroshot"
    assert "only XLIP checkpoints can be trained" in entries["tuned"]["problems"][0]


def test_a_classifier_is_exported_in_8_bits_and_predicts(exported: Exported, tmp_path: Path) -> None:
    said = json.loads((exported.tuned_graphs / "parity.json").read_text())
    full, rounded = said["differences"]
    assert (full["form"], rounded["form"]) == ("onnx", "int8")
    assert full["largest"] <= TOLERANCE
    assert full["largest"] < rounded["largest"]
    assert set(said["auroc"]) == {"checkpoint", "onnx", "int8"}
    facts = read_facts(exported.tuned_graphs)
    assert (facts.numbers, facts.kinds) == ("int8", list(KINDS))
    assert facts.identity == f"{facts.checkpoint}-int8"
    for name, place in (("own", exported.tuned), ("int8", exported.tuned_graphs)):
        out = str(tmp_path / f"{name}.csv")
        assert cli.main(["predict", "--model", str(place), "--data", str(exported.phantoms), "--out", out]) == 0
    tables = [list(csv.reader((tmp_path / f"{name}.csv").read_text().splitlines())) for name in ("own", "int8")]
    assert tables[0][0] == tables[1][0] == ["image", *KINDS]
    scores = [np.array([row[1:] for row in table[1:]], float) for table in tables]
    assert 0 < np.abs(scores[0] - scores[1]).max() < 0.2
    assert ExportedClassifier.open(exported.tuned_graphs).predict_pixels(SQUARES[:0]).shape == (0, len(KINDS))


class Halves(nn.Module):
    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return pixels.flatten(1) / 2


@dataclass
class Small:
    """A subject whose graph is traced in no time, and which differs from itself by `gap`."""

    gap: float
    image_size: int = 16
    preprocess: str = "letterbox"

    def facts(self) -> dict[str, Any]:
        return {"task": "embedding", "checkpoint": "abc", "image_size": 16, "preprocess": "letterbox", "width": 256}

    def graphs(self) -> list[Graph]:
        pixels = torch.rand(2, 1, 16, 16)
        free = {"pixels": {0: Dim("images", min=1)}}
        return [Graph("image", Halves(), {"pixels": pixels}, free, ("image_embedding",))]

    def write_beside(self, folder: Path) -> None:
        (folder / "tokenizer.json").write_text("{}")

    def compare(self, parity: Parity, form: str, folder: Path, squares: Gray) -> None:
        parity.add(form, "image", [(np.ones(3), np.ones(3) + (self.gap if form == "onnx" else 1))])

    def inputs(self, graph: Graph, squares: Gray) -> Iterator[dict[str, torch.Tensor]]:
        yield {"pixels": as_pixels(squares)}

    def areas(self, cases: Any, prompts: str, exported: Path | None) -> dict[str, float]:
        return {"Effusion": 0.8 + (self.gap if exported else 0), "macro": 0.8}


@pytest.mark.parametrize("gap", [0.002, float("nan")])
def test_a_graph_that_differs_is_one_line_and_leaves_nothing(
    gap: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    subject = Small(0.0005)
    monkeypatch.setattr("xlip.export.run.subject_of", lambda place: subject)
    words = ["export", "--model", "any", "--out", str(tmp_path / "out")]
    assert cli.main([*words, "--int8"]) == 0
    assert "AUROC that int8 costs: not measured" in capsys.readouterr().out
    before = {file.name: file.read_bytes() for file in (tmp_path / "out").iterdir()}
    subject.gap = gap
    assert cli.main(words) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "the image graph (onnx) differs from the checkpoint by up to" in error
    assert [place.name for place in tmp_path.iterdir()] == ["out"]
    assert {file.name: file.read_bytes() for file in (tmp_path / "out").iterdir()} == before


def test_what_int8_loses_is_reported_and_no_fault() -> None:
    parity = Parity(3, "set")
    parity.add_areas("checkpoint", {"Effusion": 0.9, "macro": 0.9})
    parity.add_areas("onnx", {"Effusion": 0.9005, "macro": 0.9005})
    parity.add("int8", "image", [(np.zeros(4), np.ones(4))])
    parity.add_areas("int8", {"Effusion": 0.7, "macro": 0.7})
    assert parity.lost("int8") == pytest.approx(0.2)
    assert parity.differences[0].largest == 1
    with pytest.raises(XLIPError, match=r"AUROC of Effusion \(onnx\) is 0\.88"):
        parity.add_areas("onnx", {"Effusion": 0.88, "macro": 0.9})
    with pytest.raises(XLIPError, match=r"gives \(2,\), expected \(3,\)"):
        parity.add("onnx", "image", [(np.zeros(3), np.zeros(2))])
    assert Parity(1).lost("int8") is None


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"format": "tflite"}, "expected one of onnx, pt2, both"),
        ({"format": "pt2", "int8": True}, "int8: rounds ONNX graphs"),
        ({"model": "nothing/here/at/all"}, "nothing/here"),
        ({"data": "nothing.parquet"}, "nothing.parquet"),
    ],
)
def test_a_faulty_wish_is_refused_before_any_work(
    options: dict[str, Any], said: str, exported: Exported, tmp_path: Path
) -> None:
    given = {"model": str(exported.checkpoint), "out": str(tmp_path / "out"), **options}
    with pytest.raises(XLIPError, match=said):
        export(ExportConfig(**given))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_something_else_is_not_replaced(exported: Exported, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(XLIPError, match="did not write"):
        export(ExportConfig(str(exported.checkpoint), str(tmp_path)))
    assert (tmp_path / "thesis.tex").read_text() == "mine"


def test_without_onnx_the_extra_is_named(exported: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(XLIPError, match=r"pip install 'xlip\[onnx\]'"):
        export(ExportConfig(str(exported.checkpoint), str(tmp_path / "out")))
