from __future__ import annotations

import csv
from pathlib import Path

import pytest

from tiny import KINDS, tiny_model
from xlip import XLIPClassifier, XLIPError, cli
from xlip.finetune.predict import PredictConfig, predict_to
from xlip.images.files import encode
from xlip.phantom import generate
from xlip.preparation.run import prepare

MODEL = XLIPClassifier.of(tiny_model().eval(), KINDS).eval()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("images")
    for index in range(3):
        (root / f"{index}.png").write_bytes(encode(generate(index, size=64).pixels, lossless=True))
    return root


def rows(path: Path) -> dict[str, dict[str, float]]:
    with path.open(newline="") as stream:
        return {row.pop("image"): {kind: float(v) for kind, v in row.items()} for row in csv.DictReader(stream)}


def test_a_folder_a_table_and_one_image_give_the_same_scores(folder: Path, tmp_path: Path) -> None:
    (folder.parent / "table").mkdir(exist_ok=True)
    table = folder.parent / "table" / "my.csv"
    # A label cell that nobody can read does not stand in the way of a prediction.
    table.write_text(f"file,Effusion\n../{folder.name}/0.png,perhaps\n../{folder.name}/2.png,1\n,0\n")
    found = {}
    for name, data, options in (
        ("folder", folder, {}),
        ("table", table, {"image_column": "file"}),
        ("one", folder / "1.png", {}),
    ):
        done = predict_to(PredictConfig("", str(data), str(tmp_path / f"{name}.csv"), batch_size=2, **options), MODEL)
        found[name] = rows(tmp_path / f"{name}.csv")
        assert done.images == len(found[name])
        assert not done.dropped
    assert list(found["folder"]) == ["0.png", "1.png", "2.png"]
    expected = MODEL.predict([folder / f"{index}.png" for index in range(3)])
    for index in range(3):
        assert found["folder"][f"{index}.png"] == pytest.approx(expected[index], abs=1e-6)
    assert found["one"]["1.png"] == pytest.approx(found["folder"]["1.png"], abs=1e-6)
    assert found["table"][f"../{folder.name}/2.png"] == pytest.approx(found["folder"]["2.png"], abs=1e-6)
    assert len(found["table"]) == 2


def test_a_prepared_set_is_scored_by_study_id(tmp_path: Path) -> None:
    prepare("phantom", Path(), tmp_path / "set", workers=0, options={"count": 5, "size": 64})
    assert predict_to(PredictConfig("", str(tmp_path / "set"), str(tmp_path / "out.csv")), MODEL).images == 5
    assert all(name.startswith("phantom/") for name in rows(tmp_path / "out.csv"))


def test_what_cannot_be_read_is_dropped_and_named(folder: Path, tmp_path: Path) -> None:
    table = tmp_path / "my.csv"
    (tmp_path / "broken.png").write_bytes(b"nothing")
    (tmp_path / "good.png").write_bytes((folder / "0.png").read_bytes())
    table.write_text("path\nbroken.png\ngood.png\ngone.png\n")
    done = predict_to(PredictConfig("", str(table), str(tmp_path / "out.csv")), MODEL)
    assert done.images == 1
    assert [row for row, _ in done.dropped] == ["broken.png", "gone.png"]


def test_nothing_is_left_of_a_prediction_that_fails(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "broken.png").write_bytes(b"nothing")
    with pytest.raises(XLIPError, match=r"no image could be read \(1 dropped; first: "):
        predict_to(PredictConfig("", str(tmp_path / "in"), str(tmp_path / "out" / "out.csv")), MODEL)
    assert list((tmp_path / "out").iterdir()) == []
    (tmp_path / "my.csv").write_text("file\na.png\n")
    with pytest.raises(XLIPError, match="no column 'path'"):
        predict_to(PredictConfig("", str(tmp_path / "my.csv"), str(tmp_path / "out" / "out.csv")), MODEL)


def test_the_command_predicts(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "model").mkdir()
    MODEL.save_pretrained(tmp_path / "model")
    arguments = ["--model", str(tmp_path / "model"), "--data", str(folder), "--out", str(tmp_path / "out.csv")]
    assert cli.main(["predict", *arguments]) == 0
    assert "3 images; research use only" in capsys.readouterr().out
    assert len(rows(tmp_path / "out.csv")) == 3
    # The folder of a run, whose model is inside.
    assert cli.main(["predict", "--model", str(tmp_path), *arguments[2:]]) == 0
    assert cli.main(["predict", "--model", str(folder), *arguments[2:]]) == 2
