"""Layouts that copies of public sets come in, beside the published ones."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from layouts import CHEXPERT, LAYOUTS, MIMIC_REPORT, NIH_HEAD, dicom, picture, write
from real_data import real_data
from xlip.errors import XLIPError
from xlip.images.files import decode
from xlip.preparation.run import prepare
from xlip.sources import load_source
from xlip.sources.openi import image_number
from xlip.sources.source import Candidate, Dropped, Noticed
from xlip.study.labels import ABSENT, PRESENT, UNCERTAIN
from xlip.study.parquet import read_studies
from xlip.study.record import Study


def read(name: str, root: Path, **options: Any) -> tuple[list[Study], list[Dropped]]:
    rows = list(load_source(name)(root, **options))
    made = [row.complete(row.study) if row.complete else row.study for row in rows if isinstance(row, Candidate)]
    return made, [row for row in rows if isinstance(row, Dropped)]


@pytest.mark.parametrize(
    "name",
    [
        name
        for name in LAYOUTS
        if name not in ("phantom", "csv", "folder", "medmnist", "tuberculosis", "kermany", "roco", "covidx")
    ],
)
def test_a_root_above_the_set_gives_the_same_studies(name: str, tmp_path: Path) -> None:
    make = LAYOUTS[name][0]
    options = make(tmp_path / "above" / "deeper" / "set")
    inside = read(name, tmp_path / "above" / "deeper" / "set", **options)
    for root in ("above/deeper", "above"):
        outside = read(name, tmp_path / root, **options)
        assert [study.study_id for study in outside[0]] == [study.study_id for study in inside[0]]
        assert [study.labels for study in outside[0]] == [study.labels for study in inside[0]]
        assert len(outside[1]) == len(inside[1])


@pytest.mark.parametrize("name", ["mimic-cxr", "chexpert", "nih", "rsna", "siim", "vindr", "openi", "covidx", "brax"])
def test_a_message_names_the_places_that_were_searched(name: str, tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    with pytest.raises(XLIPError, match=r"searched this folder and two folders down \(pictures/\)"):
        read(name, tmp_path)


def test_chexpert_in_batches_has_the_ids_of_the_whole(tmp_path: Path) -> None:
    head = f"Path,Sex,Age,Frontal/Lateral,AP/PA,{CHEXPERT}\n"
    row = "CheXpert-v1.0/{},Female,68,Frontal,AP,1.0" + "," * 13 + "\n"
    base = tmp_path / "CheXpert-v1.0 batch 1 (validate & csv)"
    names = ["train/patient00001/study1/view1_frontal.jpg", "train/patient30000/study1/view1_frontal.jpg"]
    write(base / "train.csv", head + "".join(row.format(name) for name in names))
    write(base / "valid.csv", head + row.format("valid/patient64541/study1/view1_frontal.jpg"))
    picture(tmp_path / "CheXpert-v1.0 batch 2 (train 1)" / names[0].removeprefix("train/"))
    picture(tmp_path / "CheXpert-v1.0 batch 3 (train 2)" / names[1].removeprefix("train/"))
    picture(base / "valid/patient64541/study1/view1_frontal.jpg")
    studies, drops = read("chexpert", tmp_path)
    assert drops == []
    assert [(study.study_id, study.split) for study in studies] == [
        *((f"chexpert/{name.removesuffix('.jpg')}", "train") for name in names),
        ("chexpert/valid/patient64541/study1/view1_frontal", "val"),
    ]


def test_chexpert_plus_brings_the_sections_of_its_reports(tmp_path: Path) -> None:
    write(
        tmp_path / "df_chexpert_plus_240401.csv",
        "path_to_image,frontal_lateral,ap_pa,deid_patient_id,section_findings,section_impression,"
        "section_clinical_history,age,sex,split\n"
        'train/patient1/study1/view1_frontal.jpg,Frontal,PA,patient1,"Small\neffusion.",Effusion.,Cough.,57.0,Female,train\n'
        "valid/patient2/study1/view1_frontal.jpg,Frontal,AP,patient2,,Normal.,,40.0,Male,valid\n",
    )
    for name in ("train/patient1/study1/view1_frontal", "valid/patient2/study1/view1_frontal"):
        picture(tmp_path / "PNG" / f"{name}.png")
    (first, second), drops = read("chexpert", tmp_path)
    assert (drops, first.sections) == (
        [],
        {"findings": "Small effusion.", "impression": "Effusion.", "history": "Cough."},
    )
    assert (first.sex, first.age, first.view, first.split) == ("F", 57.0, "PA", "train")
    assert (second.patient_id, second.split) == ("chexpert/patient2", "val")


def test_two_chexpert_columns_of_one_kind_are_joined(tmp_path: Path) -> None:
    write(tmp_path / "train.csv", "Path,Lung Opacity,Airspace Opacity\ntrain/patient1/study1/view1_frontal.jpg,1,0\n")
    picture(tmp_path / "train/patient1/study1/view1_frontal.jpg")
    assert read("chexpert", tmp_path)[0][0].labels == {"Lung_Opacity": PRESENT}


def test_vinbigdata_counts_its_three_readers(tmp_path: Path) -> None:
    rows = "u1,Pleural effusion,10,R1,5,10,25,30\nu1,Pleural effusion,10,R2,6,10,25,30\nu1,No finding,14,R3,,,,\n"
    rows += "u1,Nodule/Mass,8,R1,1,1,2,2\nu2,No finding,14,R1,,,,\nu2,No finding,14,R2,,,,\nu2,ILD,5,R3,1,1,2,2\n"
    write(tmp_path / "train.csv", "image_id,class_name,class_id,rad_id,x_min,y_min,x_max,y_max\n" + rows)
    write(tmp_path / "train_meta.csv", "image_id,dim0,dim1\nu1,40,50\n")
    for name in ("u1", "u2"):
        picture(tmp_path / f"train/{name}.png")
    made = [row for row in load_source("vindr")(tmp_path) if isinstance(row, Candidate)]
    assert made[0].study.labels == {"Effusion": PRESENT, "Lung_Lesion": UNCERTAIN, "No_Finding": UNCERTAIN}
    assert made[1].study.labels == {"Effusion": ABSENT, "Lung_Lesion": ABSENT, "No_Finding": PRESENT}
    assert (made[0].frame, len(made[0].boxes), made[1].study.tags) == ((50, 40), 2, ("ILD",))


def test_vindr_leaves_kinds_open_that_its_table_does_not_ask_for(tmp_path: Path) -> None:
    LAYOUTS["vindr"][0](tmp_path)
    labels = read("vindr", tmp_path)[0][0].labels
    assert "Pneumonia" not in labels
    assert labels["Cardiomegaly"] == ABSENT


def test_nih_sample(tmp_path: Path) -> None:
    head = "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    head += "OriginalImageWidth,OriginalImageHeight,OriginalImagePixelSpacing_x,OriginalImagePixelSpacing_y\n"
    row = "00000013_005.png,Emphysema|Infiltration,5,13,060Y,M,AP,3056,2544,0.139,0.14\n"
    write(tmp_path / "sample_labels.csv", head + row)
    picture(tmp_path / "sample/images/00000013_005.png")
    (study,), _ = read("nih", tmp_path)
    assert (study.patient_id, study.age, study.width, study.height) == ("nih/13", 60.0, 3056, 2544)
    assert study.pixel_spacing == (0.14, 0.139)


def test_nih_notices_an_impossible_age(tmp_path: Path) -> None:
    write(tmp_path / "Data_Entry_2017.csv", NIH_HEAD + "a_000.png,No Finding,0,2.0,411,F,AP,1,1,1,1,\n")
    picture(tmp_path / "images/a_000.png")
    rows = list(load_source("nih")(tmp_path))
    assert [row.row for row in rows if isinstance(row, Noticed)] == ["Data_Entry_2017.csv:2"]
    assert [row.study.patient_id for row in rows if isinstance(row, Candidate)] == ["nih/2"]


def test_siim_stage_2_and_conversions(tmp_path: Path) -> None:
    write(tmp_path / "stage_2_train.csv", "ImageId,EncodedPixels\nID_1,-1\n1.2.a,9000 4\n1.2.b,-1\n")
    dicom(tmp_path / "dicom-images-train/1.2.x/1.2.a.dcm", (32, 32))
    dicom(tmp_path / "dicom-images-test/1.2.x/1.2.b.dcm", (32, 32))
    picture(tmp_path / "stage_2_images/ID_1.png")
    picture(tmp_path / "stage_2_images/ID_2.png")
    studies, drops = read("siim", tmp_path)
    assert drops == []
    assert [(study.study_id, study.labels.get("Pneumothorax"), study.split) for study in studies] == [
        ("siim/ID_1", ABSENT, "train"),
        ("siim/1.2.a", PRESENT, "train"),
        ("siim/1.2.b", ABSENT, "train"),
        ("siim/ID_2", None, "test"),
    ]


def test_siim_with_numbered_files_and_mask_pictures(tmp_path: Path) -> None:
    head = "new_filename,ImageId,has_pneumo\n"
    write(tmp_path / "stage_1_train_images.csv", head + "0_train_1_.png,1.2.a,1\n1_train_0_.png,1.2.b,0\n")
    write(tmp_path / "stage_1_test_images.csv", head + "0_test_1_.png,1.2.c,1\n")
    for name in ("0_train_1_", "1_train_0_"):
        picture(tmp_path / f"png_images/{name}.png")
        picture(tmp_path / f"png_masks/{name}.png")
    studies, drops = read("siim", tmp_path)
    assert [(study.labels["Pneumothorax"], set(study.masks)) for study in studies] == [
        (PRESENT, {"Pneumothorax"}),
        (ABSENT, set()),
    ]
    assert [drop.row for drop in drops] == ["stage_1_test_images.csv:2"]


def test_rsna_conversions_keep_the_frame_of_their_boxes(tmp_path: Path) -> None:
    write(tmp_path / "stage_2_train_labels.csv", "patientId,x,y,width,height,Target\na1,512,256,128,64,1\n")
    picture(tmp_path / "stage_2_train_images_png/a1.png", (64, 64))
    prepare("rsna", tmp_path, tmp_path / "out", workers=0)
    (study,) = read_studies(tmp_path / "out")
    (box,) = study.boxes
    assert (box.x, box.y, box.width, box.height) == (0.5, 0.25, 0.125, 0.0625)


def test_covidx_lists_without_a_source_and_with_spaces(tmp_path: Path) -> None:
    lines = ["3 SARS-1.jpeg pneumonia", "COVID 19 (7) COVID-19 (7).png COVID-19 sirm", "p9 b.png viral", "x y"]
    write(tmp_path / "train_COVIDx3.txt", "\n".join(lines) + "\n")
    for name in ("train/SARS-1.jpeg", "train/COVID-19 (7).png", "images/b.png"):
        picture(tmp_path / name)
    studies, drops = read("covidx", tmp_path)
    assert [(study.patient_id, study.tags, study.labels["COVID-19"]) for study in studies] == [
        ("covidx/3", (), ABSENT),
        ("covidx/sirm/COVID 19 (7)", ("source:sirm",), PRESENT),
        ("covidx/p9", (), ABSENT),
    ]
    assert [drop.row for drop in drops] == ["train_COVIDx3.txt:4"]


def test_mimic_reads_ids_that_became_floats_at_the_top_of_the_download(tmp_path: Path) -> None:
    base = tmp_path / "physionet.org/files/mimic-cxr-jpg/2.1.0"
    head = "dicom_id,subject_id,study_id,ViewPosition,Rows,Columns\n"
    write(base / "mimic-cxr-2.0.0-metadata.csv", head + "aa,10000032.0,50414267.0,PA,40,50\n")
    write(base / "mimic-cxr-2.0.0-split.csv", "dicom_id,split\naa,validate\n")
    write(base / "mimic-cxr-2.0.0-chexpert.csv", "subject_id,study_id,Edema\n10000032.0,50414267.0,1.0\n")
    picture(base / "files/p10/p10000032/s50414267/aa.jpg", (40, 50))
    write(tmp_path / "physionet.org/files/mimic-cxr/2.1.0/files/p10/p10000032/s50414267.txt", MIMIC_REPORT)
    (study,), drops = read("mimic-cxr", tmp_path)
    assert drops == []
    assert (study.study_id, study.patient_id, study.split) == ("mimic-cxr/s50414267/aa", "mimic-cxr/10000032", "val")
    assert study.labels == {"Edema": PRESENT}
    assert "effusion" in study.sections["findings"]


def ms_cxr(root: Path) -> str:
    write(
        root / "MS_CXR_Local_Alignment_v1.1.0.csv",
        "category_name,label_text,x,y,w,h,image_width,image_height,dicom_id\nPleural Effusion,x,25,10,5,20,50,40,aa\n",
    )
    return "MS_CXR_Local_Alignment_v1.1.0.csv"


def imagenome(root: Path) -> str:
    corners = {"original_x1": 25, "original_y1": 10, "original_x2": 30, "original_y2": 30}
    said = [["anatomicalfinding|yes|pleural effusion", "anatomicalfinding|no|pneumothorax"]]
    tree = {
        "objects": [{"bbox_name": "left lung", **corners}],
        "attributes": [{"bbox_name": "left lung", "attributes": said}],
    }
    write(root / "graphs/aa_SceneGraph.json", json.dumps(tree))
    return "graphs"


@pytest.mark.parametrize("make", [ms_cxr, imagenome])
def test_mimic_takes_boxes_from_tables_of_its_own(make: Callable[[Path], str], tmp_path: Path) -> None:
    LAYOUTS["mimic-cxr"][0](tmp_path)
    write(
        tmp_path / "mimic-cxr-2.0.0-metadata.csv",
        "dicom_id,subject_id,study_id,ViewPosition,Rows,Columns\naa,10000032,50414267,PA,40,50\n",
    )
    options = {"boxes": make(tmp_path)}
    prepare("mimic-cxr", tmp_path, tmp_path / "out", workers=0, options=options)
    (study,) = read_studies(tmp_path / "out")
    (box,) = study.boxes
    assert (box.kind, box.x, box.y) == ("Effusion", 0.5, 0.25)
    assert (round(box.width, 6), box.height) == (0.1, 0.5)


def test_padchest_gr_reads_sentences_and_boxes(tmp_path: Path) -> None:
    LAYOUTS["padchest-gr"][0](tmp_path)
    (first, second), _ = read("padchest-gr", tmp_path)
    assert (first.report, first.split, first.patient_id) == ("Left pleural effusion.", "val", "padchest/p1")
    (box,) = first.boxes
    assert (box.kind, box.x, box.y, box.width, box.height) == ("Effusion", 0.5, 0.25, 0.25, 0.75)
    assert (second.labels["No_Finding"], second.labels["Effusion"]) == (PRESENT, ABSENT)
    assert read("padchest-gr", tmp_path, language="es")[0][0].report == "Derrame pleural izquierdo."


def test_rexgradient_gives_each_image_its_view_and_the_report(tmp_path: Path) -> None:
    LAYOUTS["rexgradient"][0](tmp_path)
    studies, _ = read("rexgradient", tmp_path)
    assert [(study.view, study.patient_id, study.sections["impression"]) for study in studies] == [
        ("PA", "rexgradient/P1", "Normal."),
        ("LATERAL", "rexgradient/P1", "Normal."),
    ]


OPENI = "uid,MeSH,findings,impression\n1,normal,Clear lungs.,Normal.\n2,normal,Clear.,Normal.\n"


@pytest.mark.parametrize("folder", ["images", "images/images_normalized", "images_normalized", "."])
@pytest.mark.parametrize("suffix", [".dcm.png", ".dcm.jpg", ".png", ".jpeg", ".JPG"])
def test_openi_images_anywhere_with_any_suffix(folder: str, suffix: str, tmp_path: Path) -> None:
    write(tmp_path / "indiana_reports.csv", OPENI)
    write(tmp_path / "indiana_projections.csv", "uid,filename,projection\n1,1_IM-0001-4001.dcm.png,Frontal\n")
    picture(tmp_path / "made.png")
    (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    (tmp_path / "made.png").rename(tmp_path / folder / f"1_IM-0001-4001{suffix}")
    (study,), (drop,) = read("openi", tmp_path)
    assert study.image_path.endswith(f"1_IM-0001-4001{suffix}")
    assert "no image of this report is here" in drop.reason
    assert [one.study_id for one in read("openi", tmp_path, reports="all")[0]] == ["openi/1", "openi/2"]


def test_openi_restores_the_shape_of_squashed_copies(tmp_path: Path) -> None:
    write(tmp_path / "indiana_reports.csv", OPENI)
    names = ["1_IM-0001-4001", "2_IM-0001-4001"]
    rows = "".join(f"{name[0]},{name}.dcm.png,Frontal\n" for name in names)
    write(tmp_path / "indiana_projections.csv", "uid,filename,projection\n" + rows)
    meta = "imageid,Rows,Columns\nCXR1_IM-0001-4001,2000,1000\nCXR2_IM-0001-4001,2000,2500\n"
    (tmp_path / "nlmcxr_dicom_metadata.csv.gz").write_bytes(gzip.compress(meta.encode()))
    (tmp_path / "images").mkdir()
    for name in names:
        Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(tmp_path / f"images/{name}.dcm.jpg")
    prepare("openi", tmp_path, tmp_path / "out", workers=0, short_side=256, options={"restore_shape": True})
    made = list(read_studies(tmp_path / "out"))
    assert [decode(study.image).shape for study in made if study.image] == [(128, 64), (64, 80)]
    assert [(study.width, study.height) for study in made] == [(1000, 2000), (2500, 2000)]
    shutil.rmtree(tmp_path / "out")
    prepare("openi", tmp_path, tmp_path / "out", workers=0)
    assert {decode(study.image).shape for study in read_studies(tmp_path / "out") if study.image} == {(64, 64)}


def test_numbers_of_openi_images() -> None:
    names = ("1_IM-0001-4001.dcm.png", "CXR1_IM-0001-4001.png", "./1_IM-0001-4001.dcm", "1_IM-0001-4001.dcm.JPG")
    assert {image_number(name) for name in names} == {"1_IM-0001-4001"}


def test_every_real_frontal_copy_of_openi_is_found() -> None:
    studies, drops = read("openi", real_data("iu_openi"))
    images = [study.image_path for study in studies]
    others = [drop.row for drop in drops if "another image" in drop.reason]
    found = {image_number(Path(path).name) for path in images + others}
    listed = {image_number(file.name) for file in (real_data("iu_openi") / "images/images_normalized").iterdir()}
    assert found >= listed
    assert all(images)
    assert sum(study.report is not None or bool(study.sections) for study in studies) >= 2980
