from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

from exports import Exported
from xlip import cli
from xlip.batches.pixels import as_pixels
from xlip.errors import XLIPError
from xlip.evaluate.adapter import XLIPAdapter
from xlip.evaluate.encoder import TorchEncoder
from xlip.explain.abstention import rule_of
from xlip.explain.asked import ask
from xlip.explain.explanation import explain
from xlip.explain.scoring import scored
from xlip.images.files import encode
from xlip.phantom import generate
from xlip.runtime.exported import ExportedClassifier, ExportedModel, Graphs, as_floats
from xlip.runtime.scores import map_answers

SQUARES = np.stack([generate(900 + index, size=64).pixels for index in range(70)])


@pytest.fixture(scope="module")
def model(exported: Exported) -> ExportedModel:
    return ExportedModel.open(exported.folder)


@pytest.fixture(scope="module")
def checkpoint(exported: Exported) -> TorchEncoder:
    return TorchEncoder(XLIPAdapter.load(str(exported.checkpoint)))


def test_gray_values_are_the_same_numbers_with_and_without_torch() -> None:
    every = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    assert np.array_equal(as_floats(every), as_pixels(every).numpy())


@pytest.mark.parametrize("count", [0, 1, 2, 70])
def test_any_number_of_images_is_encoded_as_the_checkpoint_does(
    model: ExportedModel, checkpoint: TorchEncoder, count: int
) -> None:
    found = model.encode_squares(SQUARES[:count])
    assert found.shape == (count, model.width)
    if count:
        assert np.abs(found - checkpoint.encode_squares(SQUARES[:count])).max() < 1e-4


def test_texts_of_any_length_are_encoded_as_the_checkpoint_does(
    model: ExportedModel, checkpoint: TorchEncoder, caplog: pytest.LogCaptureFixture
) -> None:
    texts = ["Effusion.", "effusion " * 300, "No acute cardiopulmonary abnormality, lungs are clear.", "a", ""]
    found = model.encode_texts(texts)
    assert np.abs(found - checkpoint.encode_texts(texts)).max() < 1e-4
    assert np.abs(model.encode_texts(texts[:1]) - found[:1]).max() < 1e-5  # padding changes nothing
    assert model.encode_texts([]).shape == (0, model.width)
    said = [record.getMessage() for record in caplog.records]
    assert sum("cut after" in line for line in said) == 2  # one warning of each model
    assert said[: len(said) // 2] == said[len(said) // 2 :]


def test_what_a_text_is_refused_for_is_what_the_checkpoint_says(model: ExportedModel, checkpoint: TorchEncoder) -> None:
    for wrong in (["胸腔积液"], [1.5]):
        with pytest.raises(XLIPError) as ours:
            model.encode_texts(wrong)  # type: ignore[arg-type]
        with pytest.raises(XLIPError) as theirs:
            checkpoint.encode_texts(wrong)  # type: ignore[arg-type]
        assert str(ours.value) == str(theirs.value)


def test_maps_are_those_of_the_checkpoint(model: ExportedModel, checkpoint: TorchEncoder) -> None:
    queries = np.random.default_rng(0).normal(size=(6, model.width)).astype(np.float32)
    found, expected = model.maps(SQUARES[:3], queries), checkpoint.maps(SQUARES[:3], queries)
    assert found.shape == expected.shape == (3, 6, *expected.shape[2:])
    assert np.abs(found - expected).max() < 1e-3
    assert np.abs(map_answers(found) - map_answers(expected)).max() < 1e-3
    assert model.maps(SQUARES[:0], queries).shape == (0, *expected.shape[1:])
    for count in (0, 3, 70):
        vectors, maps = model.encode_and_map(SQUARES[:count], queries)
        assert np.abs(maps - model.maps(SQUARES[:count], queries)).max(initial=0) < 1e-4
        assert np.abs(vectors - model.encode_squares(SQUARES[:count])).max(initial=0) < 1e-5
        assert (maps.shape[1:], vectors.shape) == (found.shape[1:], (count, model.width))


def test_score_and_map_are_one_pass(exported: Exported, monkeypatch: pytest.MonkeyPatch) -> None:
    model = ExportedModel.open(exported.folder)
    ran: list[str] = []
    run_all = Graphs.run_all
    monkeypatch.setattr(Graphs, "run_all", lambda self, name, *given: ran.append(name) or run_all(self, name, *given))
    asked = ask(model, ["Effusion"])
    ran.clear()
    explain(model, SQUARES[0], asked, "response")
    scored(model, SQUARES[:2], asked)  # this model adds a share of its map to each score
    assert ran == ["image_map", "image_map"]
    scored(model, SQUARES[:2], asked, maps=True, known=model.encode_squares(SQUARES[:2]))
    assert ran[2:] == ["image", "map"]  # the tower rests where the embeddings are known


def test_a_folder_of_format_1_is_used_as_it_is(exported: Exported, tmp_path: Path) -> None:
    """It has one graph for each thing, and no file of weights."""
    import onnx

    folder = tmp_path / "old"
    shutil.copytree(exported.folder, folder)
    (folder / "image_map.onnx").unlink()
    for name in ("image", "map"):
        whole = onnx.load(folder / f"{name}.onnx")
        onnx.save(whole, folder / f"{name}.onnx")
    (folder / "weights.bin").unlink()
    facts = json.loads((folder / "export.json").read_text())
    del facts["weights"], facts["graphs"]["image_map"]
    facts["bytes"] = {name: (folder / name).stat().st_size for name in facts["graphs"].values()}
    (folder / "export.json").write_text(json.dumps({**facts, "format": 1}))
    old, new = ExportedModel.open(folder), ExportedModel.open(exported.folder)
    queries = np.eye(new.width, dtype=np.float32)[:2]
    for expected, found in zip(*(one.encode_and_map(SQUARES[:2], queries) for one in (new, old)), strict=True):
        assert np.abs(expected - found).max() < 1e-4


def test_it_says_of_itself_what_the_checkpoint_says(model: ExportedModel, checkpoint: TorchEncoder) -> None:
    for name in ("identity", "image_size", "preprocess", "width", "local_share", "has_maps"):
        assert getattr(model, name) == getattr(checkpoint, name), name
    assert model.scale == pytest.approx(checkpoint.scale)


def test_the_thresholds_of_the_checkpoint_go_with_its_graphs(exported: Exported) -> None:
    assert rule_of(str(exported.folder), "").chosen_on == "nothing, by a test"
    assert rule_of(str(exported.tuned_graphs), "").chosen_on != "nothing, by a test"


def test_a_folder_of_pt2_files_alone_says_what_to_do(
    exported: Exported, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "programs"
    shutil.copytree(exported.folder, folder, ignore=shutil.ignore_patterns("*.onnx"))
    facts = json.loads((folder / "export.json").read_text())
    (folder / "export.json").write_text(json.dumps({**facts, "graphs": {}}))
    picture = tmp_path / "film.png"
    picture.write_bytes(encode(generate(0, size=128).pixels, lossless=True))
    given = ["--model", str(folder)]
    for words in (
        ["serve", *given, "--port", "0"],
        ["embed", *given, "--data", str(picture), "--out", str(tmp_path / "index")],
        ["zeroshot", *given, "--data", str(exported.phantoms), "--out", str(tmp_path / "results")],
        ["explain", str(picture), *given, "--kinds", "Mass", "--out", str(tmp_path / "maps")],
    ):
        assert cli.main(words) == 2, words
        error = capsys.readouterr().err
        assert "export the model with `--format onnx` or `both`" in error, words
        assert "Traceback" not in error


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("export.json", None, "found no export.json"),
        ("export.json", "{", "cannot be read"),
        ("export.json", '{"format": 99}', "expected format 2, got 99"),
        ("export.json", '{"format": 1}', "cannot be read"),
        ("export.json", '{"format": 2}', "cannot be read"),
        ("weights.bin", None, "the weights of the graphs are missing or cut short"),
        ("weights.bin", "half", "the weights of the graphs are missing or cut short"),
        ("image.onnx", None, "missing or cut short"),
        ("image.onnx", "half", "missing or cut short"),
        ("tokenizer.json", "{}", "cannot be read"),
        ("tokenizer.json", None, "cannot be read"),
    ],
)
def test_a_damaged_folder_is_one_line(
    exported: Exported, tmp_path: Path, name: str, content: str | None, said: str
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(exported.folder, folder)
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_text(content)
    with pytest.raises(XLIPError, match=said) as caught:
        ExportedModel.open(folder).encode_texts(["effusion"])
    assert "\n" not in str(caught.value)


def test_a_graph_that_is_none_is_named(exported: Exported, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(exported.folder, folder)
    size = (folder / "image.onnx").stat().st_size
    (folder / "image.onnx").write_bytes(b"\0" * size)
    with pytest.raises(XLIPError, match=r"image\.onnx: cannot be read"):
        ExportedModel.open(folder).encode_squares(SQUARES[:1])


@pytest.mark.parametrize(
    ("key", "value"),
    [("preprocess", "stretch"), ("image_size", 0), ("task", "other"), ("graphs", {"image": "../../image.onnx"})],
)
def test_facts_that_cannot_be_are_refused(exported: Exported, tmp_path: Path, key: str, value: object) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(exported.folder, folder)
    facts = json.loads((folder / "export.json").read_text())
    (folder / "export.json").write_text(json.dumps({**facts, key: value}))
    with pytest.raises(XLIPError, match=r"export the model again"):
        ExportedModel.open(folder)


def test_a_model_is_no_classifier_and_nothing_is_neither(exported: Exported, tmp_path: Path) -> None:
    with pytest.raises(XLIPError, match="expected a fine-tuned classifier"):
        ExportedClassifier.open(exported.folder)
    with pytest.raises(XLIPError, match="no such folder"):
        ExportedModel.open(tmp_path / "nothing")


WITHOUT_TORCH = """
import sys
from importlib.abc import MetaPathFinder

class Refuse(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] in REFUSED:
            raise ImportError(f"{name} is not here")

REFUSED = set(sys.argv[4].split(","))
sys.meta_path.insert(0, Refuse())
import numpy as np
from xlip.cli.encoders import open_encoder
from xlip.images.any_form import squares
from xlip.runtime.scores import kind_scores, prompt_pairs
from xlip.study.prompts import load_prompts

model = open_encoder(sys.argv[1])
shown = squares(sys.argv[2:4], model.image_size, model.preprocess)
images = model.encode_squares(shown)
pairs = prompt_pairs(model.encode_texts, load_prompts("xlip"), ["Effusion"])
maps = model.maps(shown, pairs[:, 0])
assert maps.shape[:2] == (2, 1)
print(kind_scores(images, pairs, model.scale).tolist())
assert not REFUSED & set(sys.modules)
"""


def train_alone() -> set[str]:
    """Modules of the packages that `[train]` has, by way of `[data]` too, and the core has not."""
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    lines = (extras["train"] + extras["data"], project["dependencies"])
    named = [{re.split(r"[^\w-]", line)[0] for line in one} - {"xlip"} for one in lines]
    modules = {"scikit-learn": "sklearn", "universal-pathlib": "upath"}
    return {modules.get(name, name.replace("-", "_")) for name in named[0] - named[1]}


def test_the_command_line_knows_the_packages_of_training() -> None:
    assert train_alone() == cli.TRAINING | cli.DATA
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8"))["project"]
    named = {re.split(r"[^\w-]", line)[0] for line in project["optional-dependencies"]["search"]}
    assert named & (cli.TRAINING | cli.DATA) == cli.SEARCHING


def write_dicom(file: Path, pixels: np.ndarray) -> None:
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

    meta = FileMetaDataset()
    meta.TransferSyntaxUID, meta.MediaStorageSOPClassUID = ExplicitVRLittleEndian, SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = "1.2.3"
    data = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID, data.Modality = SecondaryCaptureImageStorage, "1.2.3", "DX"
    data.Rows, data.Columns = pixels.shape
    data.SamplesPerPixel, data.PixelRepresentation, data.PhotometricInterpretation = 1, 0, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit = 8, 8, 7
    data.PixelData = pixels.tobytes()
    data.save_as(file, enforce_file_format=True)


def test_images_texts_and_dicom_need_the_packages_of_the_extra_alone(exported: Exported, tmp_path: Path) -> None:
    """In a process that can import neither torch nor anything else that `[serve]` does not name."""
    (tmp_path / "a.png").write_bytes(encode(SQUARES[0], lossless=True))
    write_dicom(tmp_path / "a.dcm", SQUARES[0])
    words = [str(exported.folder), str(tmp_path / "a.png"), str(tmp_path / "a.dcm"), ",".join(train_alone())]
    done = subprocess.run([sys.executable, "-c", WITHOUT_TORCH, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    first, second = json.loads(done.stdout)
    assert 0 < first[0] < 1
    assert first == pytest.approx(second, abs=0.05)  # the same pixels, stretched to their range
