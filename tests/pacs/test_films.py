"""`xlip pacs write` answers for films alone, once each, and the extra is asked for in one line."""

from __future__ import annotations

import builtins
import csv
import hashlib
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from films import SECRETS, encoded, film
from xlip.errors import XLIPError
from xlip.pacs.extra import package
from xlip.pacs.films import REFUSED, WriteConfig, write_films
from xlip.pacs.finding import WARNING
from xlip.pacs.spool import DIGITS


class Brightness:
    """An encoder of NumPy: its map is the brightness of each cell, whatever the words."""

    identity, image_size, preprocess, width, scale, local_share, has_maps = "fake", 32, "letterbox", 2, 10.0, 0.0, True

    def encode_squares(self, squares: np.ndarray) -> np.ndarray:
        return np.tile(np.array([1, 0], np.float32), (len(squares), 1))

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        denied = np.array([text.lower().startswith(("no ", "the lungs are clear")) for text in texts])
        return np.stack([~denied, denied], 1).astype(np.float32)

    def maps(self, squares: np.ndarray, directions: np.ndarray) -> np.ndarray:
        cells = squares.reshape(len(squares), 8, 4, 8, 4).mean((2, 4)) / 32
        return np.repeat(cells[:, None], len(directions), 1).astype(np.float32)

    def encode_and_map(self, squares: np.ndarray, queries: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self.encode_squares(squares), self.maps(squares, queries)


def name_of(one: pydicom.Dataset) -> str:
    return hashlib.sha256(str(one.SOPInstanceUID).encode()).hexdigest()[:DIGITS]


def written(folder: Path, **options: Any) -> Any:
    return write_films(Brightness(), WriteConfig(str(folder / "in"), "fake", str(folder / "out"), **options))


@pytest.fixture
def films(tmp_path: Path) -> Path:
    (tmp_path / "in" / "Quillfeather").mkdir(parents=True)
    for number in range(2):
        (tmp_path / "in" / "Quillfeather" / f"{number}").write_bytes(encoded(film(number)))
    (tmp_path / "in" / "Quillfeather" / "knee").write_bytes(encoded(film(2, BodyPartExamined="KNEE")))
    (tmp_path / "in" / "Quillfeather" / "short").write_bytes(encoded(film(3))[:-3000])
    (tmp_path / "in" / "notes.txt").write_text("nothing")
    return tmp_path


def test_films_alone_are_answered_for_once_each_and_the_rest_is_counted_without_a_name(films: Path) -> None:
    done = written(films, kinds="Effusion", objects="sc,sr")
    assert (done.films, done.objects) == (2, 4)
    assert sum(done.left_out.values()) == 3
    said = " ".join(done.left_out)
    assert "not DICOM" in said
    assert "body part" in said
    assert not [secret for secret in SECRETS if secret in said]
    names = " ".join(str(path.relative_to(films)) for path in (films / "out").rglob("*"))
    assert not [secret for secret in SECRETS if secret in names]
    before = {path: path.read_bytes() for path in (films / "out").rglob("*.dcm")}
    assert len(before) == 4
    assert written(films, kinds="Effusion", objects="sc,sr").objects == 0
    assert {path: path.read_bytes() for path in (films / "out").rglob("*.dcm")} == before


def test_the_map_of_the_encoder_lies_on_the_film(films: Path) -> None:
    """Its response is brightness: the map goes with the film's own gray levels, letterbox taken back."""
    (films / "in" / "Quillfeather" / "1").write_bytes(encoded(film(1, size=96, columns=60)))
    written(films, kinds="Effusion", objects="pm", any_picture=True)  # cut so narrow, it looks like no chest
    maps = [pydicom.dcmread(path) for path in (films / "out").rglob("pm.dcm")]
    (one,) = (found for found in maps if found.Columns == 60)
    gray = film(1, size=96, columns=60).pixel_array
    assert WARNING in one.ContentDescription
    assert np.corrcoef(one.pixel_array.ravel(), gray.ravel())[0, 1] > 0.8


def test_what_cannot_be_judged_is_named_and_gets_no_object(films: Path) -> None:
    blank, inverted, side = (
        film(5),
        film(6),
        film(7, ViewPosition="LL", SeriesDescription="Thorax", PatientOrientation=["A", "F"]),
    )
    blank.PixelData = bytes(len(blank.PixelData))
    inverted.PixelData = (16 * 255 - inverted.pixel_array).astype(np.uint16).tobytes()
    wrong = {"nearly uniform": blank, "inverted": inverted, "the view is said to be lateral": side}
    for name, one in wrong.items():
        (films / "in" / "Quillfeather" / name[:8]).write_bytes(encoded(one))
    done = written(films, kinds="Effusion", objects="sc,sr")
    assert (done.films, done.objects) == (2, 4)
    names = {reason: name_of(one) for reason, one in wrong.items()}
    assert set(done.refused) == set(names.values())
    for reason, name in names.items():
        assert reason in done.refused[name]
        assert not (films / "out" / name).exists()
    with (films / "out" / REFUSED).open(newline="") as stream:
        assert dict(list(csv.reader(stream))[1:]) == done.refused
    said = (films / "out" / REFUSED).read_text()
    assert not [secret for secret in SECRETS if secret in said]
    assert written(films, kinds="Effusion", objects="sc", any_picture=True).films == 5


def test_a_folder_of_refused_films_alone_is_no_fault_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "one").write_bytes(
        encoded(film(7, ViewPosition="LL", SeriesDescription="Thorax", PatientOrientation=["A", "F"]))
    )
    done = written(tmp_path, kinds="Effusion")
    assert (done.films, done.objects, len(done.refused)) == (0, 0, 1)
    (tmp_path / "in" / "one").write_bytes(encoded(film(7)))
    assert written(tmp_path, kinds="Effusion").films == 1
    assert (tmp_path / "out" / REFUSED).read_text().split() == ["film,reason"]


def test_the_models_own_thresholds_say_what_is_found(films: Path) -> None:
    """Every phantom scores the same: a threshold above that leaves the report without a mark, one below marks it."""
    for threshold, mark in ((1.0, "Below threshold"), (0.0, "At or above threshold")):
        rule = films / "rule.json"
        rule.write_text(json.dumps({"threshold": threshold, "of_kind": {}, "chosen_on": "a test"}))
        shutil.rmtree(films / "out", ignore_errors=True)
        written(films, kinds="Effusion", objects="sr", rule=str(rule))
        reports = [str(pydicom.dcmread(path)) for path in (films / "out").rglob("sr.dcm")]
        assert len(reports) == 2
        assert all(mark in report for report in reports)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"kinds": "No_Finding"}, "expected kinds of findings"),
        ({"kinds": ""}, "expected kinds of findings"),
        ({"kinds": "Efusion"}, "unknown kind"),
        ({"objects": "gif"}, "--objects"),
    ],
)
def test_a_wrong_choice_is_refused_in_one_line(options: dict[str, str], said: str, films: Path) -> None:
    with pytest.raises(XLIPError, match=said):
        written(films, **options)
    assert not list((films / "out").rglob("*.dcm"))


def test_a_folder_without_films_says_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "x").write_text("x")
    with pytest.raises(XLIPError, match=r"expected DICOM radiographs of chests, found none \(not DICOM\)"):
        written(tmp_path)
    with pytest.raises(XLIPError, match="there is none"):
        write_films(Brightness(), WriteConfig(str(tmp_path / "nothing"), "fake", str(tmp_path / "out")))


@pytest.mark.parametrize("name", ["highdicom", "pynetdicom", "dicomweb_client"])
def test_a_missing_package_is_named_with_the_extra(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for loaded in [module for module in sys.modules if module.partition(".")[0] == name]:
        monkeypatch.delitem(sys.modules, loaded)
    plain = builtins.__import__

    def refuse(module: str, *rest: Any, **more: Any) -> Any:
        if module.partition(".")[0] == name:
            raise ModuleNotFoundError(name)
        return plain(module, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", refuse)
    monkeypatch.setattr("xlip.pacs.extra.import_module", lambda module: refuse(module))
    with pytest.raises(XLIPError, match=rf"needs the package {name.replace('_', '-')}.*xlip\[pacs\]"):
        package(name)
