from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from browser import look, needs_browser
from xlip import cli
from xlip.explain.explanation import SPANS
from xlip.images.files import encode
from xlip.phantom import generate

SECRET = "MUSTERMANN-ERIKA-4711"


@pytest.fixture
def films(tmp_path: Path) -> Path:
    """Two phantoms under a patient's name, one of them wider than it is high, and a file that is none."""
    folder = tmp_path / SECRET
    folder.mkdir()
    for index in range(2):
        pixels = generate(index, size=128).pixels
        pixels = np.pad(pixels, ((0, 0), (20, 20))) if index else pixels
        (folder / f"{SECRET}-{index}.png").write_bytes(encode(pixels, lossless=True))
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    return folder


@pytest.fixture
def sees_everything(checkpoint: Path, tmp_path: Path) -> list[str]:
    """Options of the model, and of a rule by which everything is found."""
    rule = tmp_path / "rule.json"
    rule.write_text('{"threshold": 0.0, "of_kind": {"Mass": 1.0}, "chosen_on": "nothing: everything is found"}')
    return ["--model", str(checkpoint), "--rule", str(rule)]


def run(*words: object) -> None:
    assert cli.main([str(word) for word in ("explain", *words)]) == 0


def test_a_folder_is_explained_by_pictures_arrays_boxes_and_a_page(
    films: Path, sees_everything: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    run(films, *sees_everything, "--kinds", "Effusion,Mass", "--text", "a shadow", "--out", out)
    found = json.loads((out / "explanations.json").read_text("utf-8"))
    low, high = SPANS["response"]
    assert (found["how"], found["scale"]) == ("response", {"low": low, "high": high, "unit": "logits"})
    assert [(film["width"], film["height"]) for film in found["films"]] in (
        [(128, 128), (168, 128)],
        [(168, 128), (128, 128)],
    )
    assert len(found["left_out"]) == 1
    rows = list(csv.DictReader((out / "boxes.csv").read_text("utf-8").splitlines()))
    for film in found["films"]:
        effusion, mass, shadow = film["explanations"]
        assert [one["found"] for one in (effusion, mass, shadow)] == [True, False, True]
        assert mass["boxes"] == []
        for one in film["explanations"]:
            heat = np.load(out / one["array"])
            assert heat.shape == (8, 8)
            assert one["peak"] == pytest.approx(heat.max(), abs=1e-3)
            with Image.open(out / one["picture"]) as opened:
                picture = np.asarray(opened).astype(int)[:512]
            coloured = (np.ptp(picture, axis=2) > 8).mean()
            assert (coloured > 0) == (one["found"] and heat.max() > low + 0.5)
            for box in one["boxes"]:
                assert 0 <= box["x"] < box["x"] + box["width"] <= film["width"]
                assert 0 <= box["y"] < box["y"] + box["height"] <= film["height"]
        assert [row["words"] for row in rows if row["film"] == film["id"]] == [
            one["text"] for one in film["explanations"] for _ in one["boxes"]
        ]
    said = capsys.readouterr().out
    assert "one scale for all: 0 to 8 logits" in said
    assert "thresholds: nothing: everything is found" in said
    everything = said + "".join(file.read_text("utf-8") for file in out.glob("*.*"))
    assert SECRET not in everything + " ".join(file.name for file in out.rglob("*"))


def test_a_report_is_explained_sentence_by_sentence(films: Path, sees_everything: list[str], tmp_path: Path) -> None:
    file, out = tmp_path / "report.txt", tmp_path / "out"
    file.write_text("FINDINGS: Left pleural effusion. The trachea is midline.\nIMPRESSION: No pneumothorax.")
    run(films, *sees_everything, "--report", file, "--how", "occlusion", "--out", out)
    found = json.loads((out / "explanations.json").read_text("utf-8"))
    for film in found["films"]:
        assert [(one["text"], one["denied"]) for one in film["explanations"]] == [
            ("Left pleural effusion.", False),
            ("No pneumothorax.", True),
        ]


def test_each_image_of_a_table_may_be_asked_by_its_own_report(
    films: Path, sees_everything: list[str], tmp_path: Path
) -> None:
    names = sorted(file.name for file in films.glob("MUSTER*"))
    with (films / "set.csv").open("w", newline="") as stream:
        table = csv.writer(stream)
        table.writerows([["key", "path", "report"], ["a", names[0], "Large mass."], ["b", names[1], "Cardiomegaly."]])
    out = tmp_path / "out"
    run(films / "set.csv", *sees_everything, "--report", "own", "--id-column", "key", "--out", out)
    found = json.loads((out / "explanations.json").read_text("utf-8"))
    assert [(film["id"], film["explanations"][0]["kind"]) for film in found["films"]] == [
        ("a", "Mass"),
        ("b", "Cardiomegaly"),
    ]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ((), "name what to look for"),
        (("--kinds", "Effusion", "--how", "sideways"), "expected one of auto, response, occlusion"),
        (("--kinds", "Efusion"), "did you mean Effusion"),
        (("--text", "effusion", "--rule", "missing.json"), "missing.json: cannot be read"),
    ],
)
def test_faults_are_one_line(
    more: tuple[str, ...], said: str, films: Path, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["explain", str(films), "--model", str(checkpoint), "--out", str(tmp_path / "out"), *more]
    assert cli.main(words) == 2
    errors = capsys.readouterr().err.splitlines()
    assert said in errors[-1]
    assert errors[-1].startswith("xlip: ")


@needs_browser
@pytest.mark.parametrize("width", [400, 1100])
def test_the_page_shows_every_map_on_a_phone_and_a_desk(
    width: int, films: Path, sees_everything: list[str], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    run(films, *sees_everything, "--kinds", "Effusion,Mass", "--out", out)
    seen = look(out / "index.html", tmp_path, width)
    assert len(seen.widths) == 2 * 3  # each film, and two maps of it
    assert all(seen.widths)
    assert (seen.unnamed, seen.broken, seen.overflow, seen.console) == (0, 0, 0, [])
    assert "Research use only" in seen.text
    assert re.search(r"0 logits and below have no colour, red to yellow goes up to 8", seen.text)
