"""Every source on a copy of its public layout, through the whole of `prepare`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import layouts
from layouts import LAYOUTS
from xlip.errors import XLIPError
from xlip.images.files import decode
from xlip.preparation.run import prepare
from xlip.sources import SOURCES, load_source
from xlip.sources.cells import years
from xlip.sources.padchest import TREE, words_of
from xlip.sources.padchest import labels as padchest_labels
from xlip.sources.pseudonyms import Private
from xlip.sources.siim import mask_of
from xlip.study.kinds import canonical, is_kind
from xlip.study.labels import ABSENT, PRESENT, UNCERTAIN
from xlip.study.parquet import read_studies
from xlip.study.record import Study


def made(name: str, tmp_path: Path, **settings: Any) -> dict[str, Study]:
    """The studies of a prepared layout by what follows the source in their ids."""
    root = tmp_path / "raw"
    options = LAYOUTS[name][0](root)
    place = root / "mine.csv" if name == "csv" else root
    prepare(name, place, tmp_path / "out", workers=0, **{"options": options, **settings})
    return {study.study_id.split("/", 1)[1]: study for study in read_studies(tmp_path / "out")}


def test_every_source_has_a_layout() -> None:
    assert LAYOUTS.keys() == SOURCES.keys()


@pytest.mark.parametrize("name", SOURCES)
def test_every_layout_prepares_with_the_expected_counts(name: str, tmp_path: Path) -> None:
    root = tmp_path / "raw"
    build, studies, images, drops = LAYOUTS[name]
    options = build(root)
    place = root / "mine.csv" if name == "csv" else root
    summary = prepare(name, place, tmp_path / "out", workers=0, options=options)
    assert (summary.kept, summary.images, summary.dropped.total()) == (studies, images, drops)
    for study in read_studies(tmp_path / "out"):
        if study.image is not None:
            assert b"Secret" not in study.image
            assert decode(study.image).size
            assert study.width > 0
            assert study.height > 0
        for box in study.boxes:
            assert 0 <= box.x < box.x + box.width <= 1 + 1e-6
            assert 0 <= box.y < box.y + box.height <= 1 + 1e-6


@pytest.mark.parametrize("name", [name for name in SOURCES if name != "phantom"])
def test_every_source_reads_the_same_twice(name: str, tmp_path: Path) -> None:
    options = LAYOUTS[name][0](tmp_path)
    if name == "folder":  # without a key, each reading hashes ids by a key of its own
        (tmp_path.parent / "folder.key").write_text("k" * 64)
        options = options | {"private": Private(tmp_path.parent / "folder.key")}
    place = tmp_path / "mine.csv" if name == "csv" else tmp_path
    first, second = ([str(row)[:300] for row in load_source(name)(place, **options)] for _ in range(2))
    assert first == second


def test_mimic_reports_sections_labels_and_splits(tmp_path: Path) -> None:
    found = made("mimic-cxr", tmp_path)
    first, second = found["s50414267/aa"], found["s50000002/cc"]
    assert first.report == "Small left effusion. No pneumothorax. Left effusion."
    assert first.sections["indication"] == "year old man with cough."
    assert first.labels == {"Effusion": PRESENT, "Pneumonia": UNCERTAIN}
    assert (first.split, second.split) == ("train", "val")
    assert (first.width, first.height, first.view) == (2544, 3056, "PA")
    assert (second.report, dict(second.labels), second.patient_id) == (None, {}, "mimic-cxr/11000011")


def test_report_priority_is_configurable(tmp_path: Path) -> None:
    found = made("mimic-cxr", tmp_path, sections="impression|findings")
    assert found["s50414267/aa"].report == "Left effusion."
    with pytest.raises(XLIPError, match="expected names of findings"):
        prepare("mimic-cxr", tmp_path / "raw", tmp_path / "two", sections="finding")


def test_mimic_lateral_views_come_on_request(tmp_path: Path) -> None:
    found = made("mimic-cxr", tmp_path, options={"views": "all"})
    assert found["s50414267/bb"].view == "LATERAL"


def test_chexpert_uncertain_labels_views_and_test_truth(tmp_path: Path) -> None:
    found = made("chexpert", tmp_path)
    second = found["train/patient00002/study2/view1_frontal"]
    expected = {"Cardiomegaly": UNCERTAIN, "Lung_Opacity": PRESENT, "Edema": ABSENT, "Fracture": PRESENT}
    assert second.labels == expected
    assert (second.view, second.sex, second.age, second.patient_id) == ("PA", "M", 87.0, "chexpert/patient00002")
    test = [study for study in found.values() if study.split == "test"]
    assert [study.view for study in test] == ["", "LATERAL"]
    assert all(len(study.labels) == 14 for study in test)
    assert found["valid/patient64541/study1/view1_frontal"].split == "val"


def test_nih_boxes_sizes_and_the_official_test_list(tmp_path: Path) -> None:
    found = made("nih", tmp_path)
    first, second = found["00000001_000.png"], found["00000002_000.png"]
    (box,) = first.boxes
    assert (box.kind, box.x, box.y, box.width, box.height) == ("Effusion", 0.5, 0.25, 0.125, 0.0625)
    assert (first.width, first.height) == (2682, 2749)
    assert first.pixel_spacing == pytest.approx((0.139, 0.143))
    assert (first.split, second.split, first.age, second.age) == ("train", "test", 57.0, None)


def test_rsna_classes_and_boxes(tmp_path: Path) -> None:
    found = made("rsna", tmp_path)
    assert found["a1"].labels == {"Pneumonia": 1, "Lung_Opacity": 1, "No_Finding": 0}
    assert found["b2"].labels == {"Pneumonia": 0, "Lung_Opacity": 0, "No_Finding": 1}
    assert found["c3"].labels == {"Pneumonia": 0, "Lung_Opacity": 0, "No_Finding": 0}
    assert (dict(found["e5"].labels), found["e5"].split) == ({}, "test")
    first, second = found["a1"].boxes
    assert (first.x, first.width) == pytest.approx((0.2, 0.4))
    assert second.x + second.width == pytest.approx(1.0)  # cut at the border
    assert found["a1"].pixel_spacing == pytest.approx((0.2, 0.25))


def naive_mask(codes: list[str]) -> np.ndarray[Any, Any]:
    mask = np.zeros((1024, 1024), bool)
    for code in codes:
        place = 0
        numbers = [int(word) for word in code.split()]
        for offset, length in zip(numbers[::2], numbers[1::2], strict=True):
            place += offset
            for pixel in range(place, place + length):
                mask[pixel % 1024, pixel // 1024] = True
            place += length
    return mask


def test_siim_masks_are_those_of_a_naive_decoder_and_rows_unite(tmp_path: Path) -> None:
    codes = ["2048 3 1021 2", "9000 4", "0 1500 100000 3000"]
    assert np.array_equal(mask_of(codes), naive_mask(codes))
    found = made("siim", tmp_path)
    assert found["1.2.a"].labels["Pneumothorax"] == PRESENT
    assert set(found["1.2.a"].masks) == {"Pneumothorax"}
    assert (dict(found["1.2.b"].labels), dict(found["1.2.b"].masks)) == ({"Pneumothorax": ABSENT}, {})
    assert decode(found["1.2.a"].masks["Pneumothorax"]).shape == (256, 256)
    for code in ("5", "a b", "1048570 20"):
        with pytest.raises(XLIPError, match="EncodedPixels"):
            mask_of([code])


def test_covidx_keeps_the_source_of_an_image_and_patients_with_spaces(tmp_path: Path) -> None:
    found = made("covidx", tmp_path)
    assert found["train/a.png"].tags == ("source:cohen",)
    assert found["train/b.png"].patient_id == "covidx/rsna/COVID 19 (7)"
    assert (found["test/c.jpg"].labels["COVID-19"], found["test/c.jpg"].split) == (PRESENT, "test")


def test_padchest_tree_places_and_damaged_files(tmp_path: Path) -> None:
    found = made("padchest", tmp_path)
    first = found["1_a.png"]
    assert {kind for kind, state in first.labels.items() if state == PRESENT} == {"Effusion"}
    assert first.labels["No_Finding"] == ABSENT
    assert first.report == "derrame pleural izquierd."
    assert {"pleural effusion", "loc left", "costophrenic angle blunting"} <= set(first.tags)
    assert (first.age, first.sex, first.width) == (84.0, "F", 2000)
    assert found["1_b.png"].labels["No_Finding"] == PRESENT
    assert (found["1_b.png"].view, found["1_d.png"].view) == ("LATERAL", "AP")
    assert found["1_d.png"].labels == {}


def test_padchest_labels_that_are_kinds_stand_under_their_kind() -> None:
    words = {label for family in TREE.values() for label in family if is_kind(label)}
    for label in words:
        assert padchest_labels([label])[canonical(label)] == PRESENT, label
    for label, kind, other in (
        ("pleural plaques", "Pleural_Plaque", "Pleural_Thickening"),
        ("calcified pleural plaques", "Pleural_Plaque", "Pleural_Thickening"),
        ("bullas", "Bulla", "Emphysema"),
        ("empyema", "Empyema", "Pneumonia"),
        ("cavitation", "Cavity", "Tuberculosis"),
    ):
        found = padchest_labels([label])
        assert (found[kind], found[other]) == (PRESENT, ABSENT), label


@pytest.mark.parametrize("cell", ["", "nan", "[", "['a'", "{}", "[1]]", "__import__('os')", "[" * 400])
def test_a_damaged_padchest_list_is_no_labels(cell: str) -> None:
    assert words_of(cell) == []


def test_vindr_votes_and_boxes(tmp_path: Path) -> None:
    found = made("vindr", tmp_path)
    assert found["u1"].labels["Effusion"] == PRESENT
    assert found["u1"].labels["Lung_Lesion"] == UNCERTAIN
    assert found["u1"].labels["Cardiomegaly"] == ABSENT
    assert found["u1"].tags == ("Aortic enlargement",)
    (box,) = found["u1"].boxes
    assert (box.kind, box.x, box.y, box.width, box.height) == pytest.approx(("Effusion", 0.1, 0.25, 0.4, 0.5))
    assert (found["u2"].labels["No_Finding"], found["t1"].labels["Cardiomegaly"]) == (PRESENT, PRESENT)
    assert found["t1"].split == "test"


def test_tuberculosis_readings(tmp_path: Path) -> None:
    found = made("tuberculosis", tmp_path)
    healthy, sick, montgomery = found["CHNCXR_0001_0"], found["CHNCXR_0327_1"], found["MCUCXR_0104_1"]
    assert (healthy.labels, healthy.report) == ({"Tuberculosis": ABSENT, "No_Finding": PRESENT}, "normal")
    assert (healthy.sex, healthy.age) == ("M", 45.0)
    assert (sick.labels, sick.report) == ({"Tuberculosis": PRESENT, "No_Finding": ABSENT}, "left upper PTB")
    assert (montgomery.source, montgomery.sex, montgomery.age) == ("montgomery", "F", 26.0)
    assert montgomery.report == "infiltrates in the right upper lobe"


def test_medmnist_pixels_and_labels(tmp_path: Path) -> None:
    found = made("medmnist", tmp_path)
    arrays = np.load(tmp_path / "raw" / "pneumoniamnist.npz")
    image = found["pneumoniamnist/test/1"].image
    assert image is not None
    assert np.array_equal(decode(image), arrays["test_images"][1])
    assert found["pneumoniamnist/test/1"].labels == {"Pneumonia": 1, "No_Finding": 0}
    assert found["chestmnist_64/train/0"].labels["Pleural_Thickening"] == PRESENT
    assert found["chestmnist_64/val/0"].labels["No_Finding"] == PRESENT
    broken = tmp_path / "raw" / "pneumoniamnist.npz"
    broken.write_bytes(broken.read_bytes()[:600])
    with pytest.raises(XLIPError, match="not a MedMNIST archive"):
        list(load_source("medmnist")(broken))


def test_folder_classes_splits_texts_and_patients(tmp_path: Path) -> None:
    found = made("folder", tmp_path)
    assert found["train/normal/p1_a.png"].labels == {"No_Finding": PRESENT, "Pneumonia": ABSENT}
    assert found["train/Pneumonia/p2_a.png"].report == "Consolidation. Pneumonia."
    assert found["train/normal/p1_a.png"].report == "Clear lungs."
    assert found["train/Pneumonia/p2_a.png"].labels == {"Pneumonia": PRESENT, "No_Finding": ABSENT}
    assert (found["test/normal/p4_b"].split, found["test/normal/p4_b"].patient_id) == ("test", "folder/p4")
    with pytest.raises(XLIPError, match="group"):
        list(load_source("folder")(tmp_path / "raw", patient_pattern="p1"))


def test_openi_sections_and_tags(tmp_path: Path) -> None:
    (study,) = made("openi", tmp_path).values()
    assert study.report == "Big heart. Large heart."
    assert study.sections["comparison"] == "None."
    assert study.tags == ("Cardiomegaly/mild", "Effusion")
    layouts.r2gen(tmp_path / "two")
    prepare("openi", tmp_path / "two", tmp_path / "r2gen", workers=0)
    assert [s.report for s in read_studies(tmp_path / "r2gen")] == ["Clear."]


@pytest.mark.parametrize(
    ("text", "age"), [("57", 57.0), ("057Y", 57.0), ("018M", 1.5), ("45yrs", 45.0), ("", None), ("unknown", None)]
)
def test_ages(text: str, age: float | None) -> None:
    assert years(text) == age
