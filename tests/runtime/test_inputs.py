from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pydicom
import pytest

from layouts import dicom
from xlip.errors import XLIPError
from xlip.images.any_form import gray
from xlip.images.files import encode
from xlip.phantom import generate
from xlip.preparation.run import prepare
from xlip.runtime.inputs import Input, images_of
from xlip.sources.pseudonyms import Private


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("inputs") / "set"
    prepare("phantom", Path(), out, workers=0, options={"count": 6, "size": 64})
    return out


def pictures(folder: Path, count: int) -> list[np.ndarray]:
    folder.mkdir(parents=True, exist_ok=True)
    shown = [generate(index, size=64).pixels for index in range(count)]
    for index, pixels in enumerate(shown):
        (folder / f"{index}.png").write_bytes(encode(pixels, lossless=True))
    return shown


def table(path: Path, rows: list[list[object]]) -> Path:
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows(rows)
    return path


def same(found: list[Input], shown: list[np.ndarray]) -> bool:
    return all(np.array_equal(gray(one.image), pixels) for one, pixels in zip(found, shown, strict=True))


def test_a_prepared_set_gives_its_studies_with_their_columns(prepared: Path) -> None:
    for source in (prepared, next(prepared.glob("*.parquet"))):
        found = list(images_of(source))
        assert [one.id for one in found] == [f"phantom/0/{index}" for index in range(6)]
        for index, one in enumerate(found):
            phantom = generate(index, size=64)
            assert one.columns["report"]
            assert one.columns["view"] == "PA"
            assert {kind: one.columns[kind] for kind in phantom.labels} == phantom.labels


def test_a_table_gives_typed_columns_and_names_what_is_missing(tmp_path: Path) -> None:
    shown = pictures(tmp_path, 3)
    head = ["Path", "Age", "View", "code", "score", "Report"]
    rows = [["0.png", "061Y", "PA", "007", "1.5", "clear"], ["1.png", "18 months", "AP", "12", "-2", ""]]
    rows += [["gone.png", "4", "", "3", "", "x"], ["2.png", "", "", "", "", "y"], ["", "5", "", "", "", ""]]
    refused: list[tuple[str, str]] = []
    found = list(images_of(table(tmp_path / "t.csv", [head, *rows]), lambda *row: refused.append(row)))
    assert same(found, shown)
    assert [one.id for one in found] == ["0.png", "1.png", "2.png"]
    assert found[0].columns == {"Age": 61.0, "View": "PA", "code": "007", "score": 1.5, "report": "clear"}
    assert found[1].columns == {"Age": 1.5, "View": "AP", "code": "12", "score": -2.0}
    assert found[2].columns == {"report": "y"}
    assert refused == [
        ("gone.png", "image file not found (t.csv:4)"),
        ("t.csv:6", "no image: column Path is empty"),
    ]


def test_columns_of_a_table_can_be_named_and_an_unclear_one_is_asked_for(tmp_path: Path) -> None:
    pictures(tmp_path, 1)
    file = table(tmp_path / "t.csv", [["film", "words", "number"], ["0.png", "clear lungs", "a7"]])
    (one,) = images_of(file, image_column="film", report_column="words", id_column="number")
    assert (one.id, one.columns) == ("a7", {"report": "clear lungs", "number": "a7"})
    with pytest.raises(XLIPError, match="no column of images found among film, words, number; name it with --image-c"):
        list(images_of(file))
    with pytest.raises(XLIPError, match="no column 'films'"):
        list(images_of(file, image_column="films"))


def test_a_folder_gives_pictures_of_all_depths_with_reports_and_class_folders(tmp_path: Path) -> None:
    shown = [*pictures(tmp_path / "a", 1), *pictures(tmp_path / "test" / "Effusion", 2)]
    (tmp_path / "a" / "0.txt").write_text("FINDINGS: clear lungs.")
    (tmp_path / "notes.md").write_text("nothing")
    refused: list[str] = []
    found = list(images_of(tmp_path, lambda row, reason: refused.append(row)))
    assert same(found, shown)
    assert [one.id for one in found] == ["a/0.png", "test/Effusion/0.png", "test/Effusion/1.png"]
    assert "clear lungs" in found[0].columns["report"]
    assert found[1].columns["Effusion"] == 1
    assert refused == ["notes.md"]


def named(path: Path, uid: str = "1.2.3") -> Path:
    dicom(path)
    dataset = pydicom.dcmread(path)
    dataset.PatientName, dataset.PatientID, dataset.PatientAge = "Kjeldgaard^Tobias", "MRN77", "061Y"
    dataset.SOPClassUID, dataset.Modality, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.1.1", "DX", uid
    dataset.ViewPosition = "PA"
    dataset.save_as(path)
    return path


def test_dicom_files_come_under_hashes_that_a_key_keeps_the_same(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    for index in range(2):
        named(tree / f"Kjeldgaard_{index}" / "IM1", f"1.2.{index}")
    private = Private(tmp_path / "key", tmp_path / "lookup.csv", make=True)
    first, again = (list(images_of(tree, private=private)) for _ in range(2))
    assert [one.id for one in first] == [one.id for one in again]
    assert len({one.id for one in first}) == 2
    assert first[0].columns == {"view": "PA", "age": 61.0}
    said = repr([(one.id, one.columns) for one in first])
    assert "Kjeldgaard" not in said
    assert "MRN77" not in said
    assert "Kjeldgaard_0/IM1" in (tmp_path / "lookup.csv").read_text()


def test_one_file_is_a_source_too(tmp_path: Path) -> None:
    (shown,) = pictures(tmp_path, 1)
    (one,) = images_of(tmp_path / "0.png")
    assert one.id == "0.png"
    assert same([one], [shown])
    file = named(tmp_path / "film")
    (one,) = images_of(file)
    assert one.columns == {"view": "PA", "age": 61.0}
    assert "film" not in one.id


def test_what_is_not_there_or_holds_nothing_is_said(tmp_path: Path) -> None:
    with pytest.raises(XLIPError, match="nothing is there"):
        list(images_of(tmp_path / "none"))
    with pytest.raises(XLIPError, match="found none"):
        list(images_of(tmp_path))
