"""What the sets of the named lists need of their sources and splits: invented data in the layout of each set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import layouts
from fake_model import FakeModel
from xlip.errors import XLIPError
from xlip.evaluate.cases import Case, Cases, open_cases
from xlip.evaluate.grounding import Grounding
from xlip.images.files import encode
from xlip.preparation.run import prepare
from xlip.preparation.splits import Item, make_split
from xlip.sources.openi_tags import labels_of, tag_rules, tagged_kinds
from xlip.study.kinds import kinds
from xlip.study.labels import ABSENT, PRESENT
from xlip.study.parquet import read_studies
from xlip.study.phrases import phrase_tag, phrases_of
from xlip.study.record import Box, Study


def made(name: str, tmp_path: Path, **settings: Any) -> dict[str, Study]:
    layouts.LAYOUTS[name][0](tmp_path / "raw")
    prepare(name, tmp_path / "raw", tmp_path / "out", workers=0, **settings)
    return {study.study_id.split("/", 1)[1]: study for study in read_studies(tmp_path / "out")}


def test_tags_of_people_become_labels_by_the_table() -> None:
    known = labels_of(["Cardiomegaly/mild", "Opacity/lung/base/round", "Calcinosis/lung/hilum"])
    assert {kind for kind, state in known.items() if state == PRESENT} == {
        "Cardiomegaly",
        "Nodule",
        "Calcified_Lymph_Node",
    }
    assert set(known) == set(tagged_kinds()) <= set(kinds())
    normal = labels_of(["normal"])
    assert normal["No_Finding"] == PRESENT
    assert normal["Effusion"] == ABSENT
    assert "No_Finding" not in labels_of(["normal", "Pleural Effusion"])  # the two contradict each other
    assert labels_of([]) == labels_of(["No Indexing"]) == {}


@pytest.mark.parametrize("rule", [rule for rule in tag_rules() if rule["kind"]], ids=str)
def test_every_rule_of_the_table_reads_a_tag(rule: dict[str, Any]) -> None:
    for heading in rule["heading"]:
        for more in rule.get("with", [""]):
            assert labels_of([f"{heading}/{more}" if more else heading])[rule["kind"]] == PRESENT


def test_openi_has_labels_where_they_are_asked_for(tmp_path: Path) -> None:
    study = made("openi", tmp_path, options={"labels": "tags"}, split="openi/all")["1"]
    assert (study.labels["Cardiomegaly"], study.labels["Effusion"], study.split) == (PRESENT, ABSENT, "test")
    prepare("openi", tmp_path / "raw", tmp_path / "plain", workers=0)
    (plain,) = read_studies(tmp_path / "plain")
    assert dict(plain.labels) == {}
    with pytest.raises(XLIPError, match="labels: expected tags or nothing, got 'mesh'"):
        prepare("openi", tmp_path / "raw", tmp_path / "no", workers=0, options={"labels": "mesh"})


def test_padchest_can_be_cut_to_what_physicians_labelled_all_views_included(tmp_path: Path) -> None:
    layouts.padchest(tmp_path / "raw")
    (table,) = (tmp_path / "raw").glob("*.csv")
    table.write_text(table.read_text().replace("sin cambio .,Physician", "sin cambio .,RNN_model"))
    options = {"options": {"readers": "physician"}, "split": "padchest/physician"}
    summary = prepare("padchest", tmp_path / "raw", tmp_path / "out", workers=0, **options)
    assert summary.dropped["labelled by a network, not by a physician"] == 1
    assert {study.split for study in read_studies(tmp_path / "out")} == {"test"}
    counts = [len(list(open_cases(str(tmp_path / "out"), laterals=one).items)) for one in (False, True)]
    assert counts == [1, 2]


def test_chestxdet10_boxes_absences_and_the_official_test_part(tmp_path: Path) -> None:
    found = made("chestxdet10", tmp_path, split="chestxdet10/official")
    first, test = found["train/36199"], found["test/1"]
    (box,) = first.boxes
    assert (box.kind, box.x, box.y, box.width, box.height) == ("Effusion", 0, 0.5, 0.25, 0.5)
    assert (first.labels["Effusion"], first.labels["Mass"], first.tags) == (
        PRESENT,
        ABSENT,
        ("Effusion", "Calcification"),
    )
    assert set(test.labels.values()) == {ABSENT}
    assert test.split == "test"
    (tmp_path / "raw" / "train.json").write_text("{}")
    with pytest.raises(XLIPError, match=r"train\.json: expected a list of images"):
        prepare("chestxdet10", tmp_path / "raw", tmp_path / "two", workers=0)


def chexpert_items() -> list[Item]:
    return [
        Item(f"chexpert/train/patient{n}/study1/view{v}_frontal", f"chexpert/patient{n}", "x.jpg", True, "train")
        for n in range(6)
        for v in (1, 2)
    ] + [
        Item(f"chexpert/test/patient9/study1/{view}", "chexpert/patient9", "x.jpg", True, "test", "lateral" in view)
        for view in ("view1_frontal", "view2_frontal", "view3_lateral")
    ]


def test_5x200_is_the_users_list_and_its_patients_train_nothing(tmp_path: Path) -> None:
    with pytest.raises(XLIPError, match=r"chexpert_5x200\.csv"):
        make_split("chexpert/5x200", chexpert_items(), tmp_path)
    rows = [f"CheXpert-v1.0/train/patient{n}/study1/view1_frontal.jpg,0,0,1" for n in (1, 3)]
    (tmp_path / "chexpert_5x200.csv").write_text("Path,Atelectasis\n" + "\n".join(rows) + "\n")
    parts = make_split("chexpert/5x200", chexpert_items(), tmp_path).parts
    assert {id_ for id_, part in parts.items() if part == "test"} == {
        f"chexpert/train/patient{n}/study1/view1_frontal" for n in (1, 3)
    }
    assert not any("patient1/" in id_ or "patient3/" in id_ for id_, part in parts.items() if part != "test")


def test_the_668_images_are_every_frontal_view_of_the_test_studies(tmp_path: Path) -> None:
    parts = make_split("chexpert/frontal668", chexpert_items(), tmp_path).parts
    tested = sorted(id_.rpartition("/")[2] for id_, part in parts.items() if part == "test")
    assert tested == ["view1_frontal", "view2_frontal"]


def test_ms_cxr_phrases_travel_as_tags(tmp_path: Path) -> None:
    layouts.mimic(tmp_path / "raw")
    head = "category_name,label_text,dicom_id,x,y,w,h,image_width,image_height\n"
    rows = "Pleural Effusion,small left effusion,aa,0,0,1272,1528,2544,3056\n"
    rows += "Pleural Effusion,blunted angle,aa,1272,0,1272,1528,2544,3056\n"
    (tmp_path / "raw" / "ms.csv").write_text(head + rows)
    options = {"options": {"boxes": "ms.csv"}, "split": "ms-cxr/all"}
    prepare("mimic-cxr", tmp_path / "raw", tmp_path / "out", workers=0, **options)
    cases = list(open_cases(str(tmp_path / "out"), require="regions").items)
    assert [dict(case.phrases) for case in cases] == [{"Effusion": "small left effusion. blunted angle"}]
    assert len(cases[0].boxes) == 2
    assert phrases_of([phrase_tag("Mass", "a mass: large"), "other"]) == {"Mass": "a mass: large"}


def test_grounding_by_phrases_asks_with_the_words_of_each_image() -> None:
    asked: list[str] = []
    model = FakeModel(
        text=lambda text: asked.append(text) or [1.0, len(text) / 50],
        patches=lambda pixels: pixels.new_ones(len(pixels), 4, 4, 2),
    )
    image = encode(layouts.np.full((32, 32), 90, layouts.np.uint8), lossless=True)
    box = (Box("Effusion", 0.0, 0.0, 0.5, 0.5),)
    items = [
        Case("a", "a", image, {}, boxes=box, phrases={"Effusion": "small left effusion"}),
        Case("b", "b", image, {}, boxes=box),
    ]
    found = Grounding(by="patches", phrases=True, replicates=2).run(model, Cases("x", items, []))
    assert found.figures.regions == 1  # the other has no words
    assert "small left effusion" in asked
    assert found.identity["asked"] == "phrases"
