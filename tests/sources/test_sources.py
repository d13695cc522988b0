from __future__ import annotations

import importlib.util
import io
import json
import pickle
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from real_data import real_data
from xlip.errors import XLIPError
from xlip.images.files import encode
from xlip.preparation.run import prepare
from xlip.reports.sections import SECTIONS, compose_sections
from xlip.sources import SOURCES, load_source
from xlip.sources.covid_chestxray import labels as covid_labels
from xlip.sources.source import Candidate, Dropped, Noticed, files_under
from xlip.study.kinds import kinds
from xlip.study.labels import ABSENT, PRESENT, UNCERTAIN
from xlip.study.record import SEXES, VIEWS, Study

needs_phantom = pytest.mark.skipif(
    importlib.util.find_spec("xlip.phantom") is None, reason="xlip.phantom is not there yet"
)


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode(np.zeros((8, 9), np.uint8), lossless=True))


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")


def read(name: str, root: Path, **options: Any) -> tuple[list[Study], list[Dropped]]:
    """Studies and drops of a source; checks what holds for every one of them."""
    studies, drops = [], []
    for row in load_source(name)(root, **options):
        if isinstance(row, Dropped):
            assert row.row
            assert row.reason
            drops.append(row)
            continue
        if isinstance(row, Noticed):
            continue
        assert isinstance(row, Candidate)
        study = row.complete(row.study) if row.complete else row.study
        if study.report is None and study.sections:
            study = study._replace(report=compose_sections(study.sections))
        pickle.dumps(row)  # it travels to a worker process
        check(study, row)
        studies.append(study)
    assert len({study.study_id for study in studies}) == len(studies)
    return studies, drops


def check(study: Study, row: Candidate) -> None:
    """What holds for every study of every source."""
    assert study.view in VIEWS
    assert study.sex in SEXES
    assert study.age is None or 0 <= study.age < 130
    assert set(study.labels) <= set(kinds())
    assert set(study.sections) <= set(SECTIONS)
    assert {box.kind for box in row.boxes} | set(study.masks) <= set(kinds())
    assert study.report is None or study.report.strip()
    assert study.study_id.startswith(study.source + "/")
    assert study.patient_id.startswith(study.source + "/")
    if row.file is not None:
        assert Path(row.file).is_file()
        assert not Path(study.image_path).is_absolute()
    assert row.file is not None or study.image is not None or study.report


@pytest.mark.parametrize("name", [pytest.param(n, marks=needs_phantom) if n == "phantom" else n for n in SOURCES])
def test_every_registered_source_loads(name: str) -> None:
    assert callable(load_source(name))


@pytest.mark.parametrize("name", [name for name in SOURCES if name != "phantom"])
def test_every_source_refuses_an_empty_folder_and_names_it(name: str, tmp_path: Path) -> None:
    options = {"report_column": "report"} if name == "csv" else {}
    with pytest.raises(XLIPError, match=tmp_path.name):
        list(load_source(name)(tmp_path, **options))


def test_unknown_source_is_refused() -> None:
    with pytest.raises(XLIPError, match="expected one of phantom, mimic-cxr"):
        load_source("mimic")


@needs_phantom
def test_phantoms_are_complete_and_repeatable(tmp_path: Path) -> None:
    studies, drops = read("phantom", tmp_path, count=4, seed=3, size=64)
    assert (len(studies), drops) == (4, [])
    assert all(study.image and study.report and study.labels and study.entities for study in studies)
    assert studies[2:] == read("phantom", tmp_path, count=2, seed=3, size=64, start=2)[0]


def test_openi_kaggle_takes_the_first_frontal_that_is_there(tmp_path: Path) -> None:
    write(
        tmp_path / "indiana_reports.csv",
        "uid,MeSH,findings,impression\n1,normal,Clear XXXX lungs.,Normal\n2,normal,,\n3,normal,,Effusion.\n",
    )
    write(
        tmp_path / "indiana_projections.csv",
        "uid,filename,projection\n1,a.png,Frontal\n1,b.png,Lateral\n1,c.png,Frontal\n3,d.png,Lateral\n",
    )
    for name in "bcd":
        picture(tmp_path / "images/images_normalized" / f"{name}.png")
    studies, drops = read("openi", tmp_path)
    assert [(s.study_id, s.patient_id, s.report, s.image_path) for s in studies] == [
        ("openi/1", "openi/1", "Clear lungs. Normal.", "images/images_normalized/c.png"),
    ]
    assert [s.study_id for s in read("openi", tmp_path, reports="all")[0]] == ["openi/1", "openi/3"]
    folder, reason = "images/images_normalized", "another image of the report: one frontal image is kept with it"
    assert drops == [
        Dropped("indiana_reports.csv:3", "neither a report nor an image"),
        Dropped("indiana_reports.csv:4", "no image of this report is here; `reports: all` keeps its text alone"),
        *(Dropped(f"{folder}/{name}.png", reason) for name in "bd"),
    ]


REPORT_XML = """<eCitation><uId id="CXR7"/><Article><Abstract>
<AbstractText Label="FINDINGS">Clear.</AbstractText><AbstractText Label="IMPRESSION">Normal XXXX</AbstractText>
</Abstract></Article><parentImage id="CXR7_IM-1-1001"/><parentImage id="CXR7_IM-1-2001"/></eCitation>"""


@pytest.mark.parametrize("packed", [False, True])
def test_openi_nlm_reads_a_folder_or_an_archive(tmp_path: Path, packed: bool) -> None:
    files = {"7.xml": REPORT_XML, "8.xml": "<eCitation><broken"}
    if packed:
        with tarfile.open(tmp_path / "NLMCXR_reports.tgz", "w:gz") as tar:
            for name, text in files.items():
                info = tarfile.TarInfo(f"ecgen-radiology/{name}")
                info.size = len(text)
                tar.addfile(info, io.BytesIO(text.encode()))
    else:
        for name, text in files.items():
            write(tmp_path / "ecgen-radiology" / name, text)
    picture(tmp_path / "NLMCXR_png/CXR7_IM-1-1001.png")
    for layout in ("auto", "nlm"):
        (study,), (drop,) = read("openi", tmp_path, layout=layout)
        assert (study.patient_id, study.report) == ("openi/7", "Clear. Normal.")
        assert study.image_path == "NLMCXR_png/CXR7_IM-1-1001.png"
        assert drop.row == "8.xml"


def test_openi_r2gen_keeps_its_splits_and_shares_patients_with_the_other_layouts(tmp_path: Path) -> None:
    item = {"id": "CXR7_IM-1", "report": "Clear.", "image_path": ["CXR7_IM-1/0.png", "CXR7_IM-1/1.png"]}
    write(tmp_path / "annotation.json", json.dumps({"train": [], "test": [item]}))
    for number in (0, 1):
        picture(tmp_path / f"images/CXR7_IM-1/{number}.png")
    (study,), (drop,) = read("openi", tmp_path)
    assert drop.row == "images/CXR7_IM-1/1.png"
    assert (study.split, study.patient_id) == ("test", "openi/7")
    assert study.image_path == "images/CXR7_IM-1/0.png"


def test_openi_prefers_kaggle_and_refuses_an_unknown_layout(tmp_path: Path) -> None:
    write(tmp_path / "indiana_reports.csv", "uid,findings,impression\n1,Clear.,\n")
    write(tmp_path / "annotation.json", json.dumps({"train": [{"id": "CXR9_IM-1", "report": "x"}]}))
    assert read("openi", tmp_path)[0][0].patient_id == "openi/1"
    assert read("openi", tmp_path, layout="r2gen")[0][0].patient_id == "openi/9"
    with pytest.raises(XLIPError, match="kaggle, nlm, r2gen; got 'zip'"):
        load_source("openi")(tmp_path, layout="zip")


@pytest.mark.parametrize(
    ("finding", "present"),
    [
        ("COVID-19", {"COVID-19", "Pneumonia"}),
        ("COVID-19, ARDS", {"COVID-19", "Pneumonia", "ARDS"}),
        ("Pneumonia/Viral/COVID-19", {"COVID-19", "Pneumonia"}),
        ("Pneumocystis", {"Pneumonia"}),
        ("Mycoplasma Bacterial Pneumonia", {"Pneumonia"}),
        ("E.Coli", {"Pneumonia"}),
        ("ARDS", {"ARDS"}),
        ("No Finding", {"No_Finding"}),
        ("todo", set()),
        ("Unknown", set()),
        ("", set()),
    ],
)
def test_covid_findings(finding: str, present: set[str]) -> None:
    found = covid_labels(finding)
    assert {kind for kind, state in found.items() if state == PRESENT} == present
    if present - {"No_Finding"}:
        assert found["No_Finding"] == ABSENT
    if not present:
        assert found == {}


def test_covid_table(tmp_path: Path) -> None:
    write(
        tmp_path / "metadata.csv",
        "patientid,finding,view,modality,folder,filename,clinical_notes\n"
        "4,COVID-19,AP Supine,X-ray,images,a.png,Fever ___ .\n"
        "4,todo,L,X-ray,images,b.png,\n"
        "5,COVID-19,Axial,CT,volumes,c.gz,x\n"
        "6,COVID-19,PA,X-ray,images,gone.png,x\n",
    )
    picture(tmp_path / "images/a.png")
    picture(tmp_path / "images/b.png")
    studies, drops = read("covid-chestxray", tmp_path)
    assert [(s.view, s.report, s.patient_id) for s in studies] == [
        ("AP", "Fever.", "covid-chestxray/4"),
        ("LATERAL", None, "covid-chestxray/4"),
    ]
    assert [drop.row for drop in drops] == ["metadata.csv:4", "metadata.csv:5"]
    assert "CT" in drops[0].reason
    assert "gone.png" in drops[1].reason


@pytest.mark.parametrize("folder", ["images", "images_003/images"])
def test_nih_knows_every_label_of_every_row(tmp_path: Path, folder: str) -> None:
    write(
        tmp_path / "Data_Entry_2017.csv",
        "Image Index,Finding Labels,Follow-up #,Patient ID,View Position\n"
        "00000001_000.png,Effusion|Pleural_Thickening,0,1,AP\n"
        "00000002_000.png,No Finding,0,2,PA\n"
        "00000003_000.png,Effusion,0,3,PA\n"
        "00000004_000.png,Efusion,0,4,PA\n",
    )
    for number in (1, 2, 4):
        picture(tmp_path / folder / f"0000000{number}_000.png")
    (sick, healthy), drops = read("nih", tmp_path)
    assert len(sick.labels) == len(healthy.labels) == 15
    assert {kind for kind, state in sick.labels.items() if state} == {"Effusion", "Pleural_Thickening"}
    assert {kind for kind, state in healthy.labels.items() if state} == {"No_Finding"}
    assert (sick.view, sick.patient_id) == ("AP", "nih/1")
    assert [drop.row for drop in drops] == ["Data_Entry_2017.csv:4", "Data_Entry_2017.csv:5"]
    assert "Efusion" in drops[1].reason


def test_kermany_takes_split_and_label_from_the_folders(tmp_path: Path) -> None:
    for path in ("train/NORMAL/IM-1.jpeg", "test/PNEUMONIA/person1_virus_6.jpeg", "val/NORMAL/IM-1.jpeg"):
        picture(tmp_path / "chest_xray" / path)
    studies, _ = read("kermany", tmp_path)
    assert {(s.split, s.labels["Pneumonia"], s.labels["No_Finding"]) for s in studies} == {
        ("train", 0, 1),
        ("val", 0, 1),
        ("test", 1, 0),
    }
    assert len({study.patient_id for study in studies}) == 3
    assert len(read("kermany", tmp_path / "chest_xray")[0]) == 3


def test_roco_keeps_captions_of_chest_radiographs(tmp_path: Path) -> None:
    write(tmp_path / "data/test/radiology/captions.txt", "ROCO_1\t Chest  x-ray.\nROCO_2\t \nROCO_3\tCT of a knee.\n")
    (study,), drops = read("roco", tmp_path)
    assert (study.study_id, study.report, study.image_path) == ("roco/ROCO_1", "Chest x-ray.", "")
    assert study.split == "test"
    assert drops[0] == Dropped("data/test/radiology/captions.txt:2", "empty caption")
    assert "does not name a chest radiograph" in drops[1].reason
    assert len(read("roco", tmp_path, chest_only=False)[0]) == 2


def table(root: Path, text: str) -> Path:
    write(root / "mine.csv", text)
    return root / "mine.csv"


def test_csv_reads_columns_and_finds_kinds_by_alias(tmp_path: Path) -> None:
    picture(tmp_path / "img/a.png")
    path = table(
        tmp_path,
        "id,file,text,who,part,side,Pleural Effusion,pneumothorax,edema,Mass,age\n"
        "x,img/a.png,Clear.,p1,test,lateral,1.0,FALSE,uncertain,,60\n"
        "y,,Effusion.,p1,,weird,-1,0,unknown,True,61\n",
    )
    columns = {"image_column": "file", "report_column": "text", "patient_column": "who", "id_column": "id"}
    (first, second), drops = read("csv", path, **columns, split_column="part", view_column="side", source="ours")
    assert drops == []
    assert first.labels == {"Effusion": PRESENT, "Pneumothorax": ABSENT, "Edema": UNCERTAIN}
    assert second.labels == {"Effusion": UNCERTAIN, "Pneumothorax": ABSENT, "Mass": PRESENT}
    assert (first.study_id, first.patient_id, first.split, first.view) == ("ours/x", "ours/p1", "test", "LATERAL")
    assert (second.study_id, second.patient_id, second.split, second.view) == ("ours/y", "ours/p1", "train", "")


def test_csv_reads_sex_and_age_where_their_columns_are_named(tmp_path: Path) -> None:
    path = table(tmp_path, "text,PatientSex,PatientAge\nClear.,Female,057Y\nClear.,M,18 months\nClear.,unknown,\n")
    studies, _ = read("csv", path, report_column="text", sex_column="PatientSex", age_column="PatientAge")
    assert [(study.sex, study.age) for study in studies] == [("F", 57.0), ("M", 1.5), ("", None)]
    assert {(study.sex, study.age) for study in read("csv", path, report_column="text")[0]} == {("", None)}


def test_a_column_without_a_name_stands_for_none_of_those_that_were_not_named(tmp_path: Path) -> None:
    path = table(tmp_path, ",text,Mass\n0,Clear.,0\n1,A mass.,1\n")
    studies, drops = read("csv", path, report_column="text")
    assert drops == []
    assert [(study.split, study.image_path, study.sex, study.age, study.labels["Mass"]) for study in studies] == [
        ("train", "", "", None, ABSENT),
        ("train", "", "", None, PRESENT),
    ]


def test_csv_uses_only_the_named_kinds(tmp_path: Path) -> None:
    path = table(tmp_path, "text,Mass,Edema\nClear.,1,0\n")
    assert read("csv", path, report_column="text", kinds="Mass")[0][0].labels == {"Mass": PRESENT}


def test_csv_drops_a_wrong_label_naming_file_row_column_and_value(tmp_path: Path) -> None:
    path = table(tmp_path, "text,Mass\nClear.,maybe\nClear.,2\nClear.,1\n")
    studies, drops = read("csv", path, report_column="text")
    assert len(studies) == 1
    assert [drop.row for drop in drops] == ["mine.csv:2", "mine.csv:3"]
    assert "column Mass" in drops[0].reason
    assert "'maybe'" in drops[0].reason


def test_csv_drops_missing_images_and_empty_rows(tmp_path: Path) -> None:
    path = table(tmp_path, "file,text\ngone.png,Clear.\n,XXXX\n")
    studies, drops = read("csv", path, image_column="file", report_column="text")
    assert studies == []
    assert [drop.reason for drop in drops] == ["image file gone.png not found", "neither an image path nor a report"]


def test_csv_faults_of_the_user_are_named(tmp_path: Path) -> None:
    path = table(tmp_path, "text,Mass,colour\nClear.,1,red\n")
    with pytest.raises(XLIPError, match=r"no column 'report'; its columns are text, Mass, colour"):
        read("csv", path, report_column="report")
    with pytest.raises(XLIPError, match="unknown kind 'colour'"):
        read("csv", path, report_column="text", kinds="colour")
    with pytest.raises(XLIPError, match="image_column and report_column"):
        read("csv", path)


@pytest.mark.parametrize(
    ("name", "folder", "options", "counts"),
    [
        ("nih", "nih_chestxray14_subset", {}, (1090, 1090, 0)),
        ("kermany", "kermany_chest_xray", {}, (5190, 5190, 0)),
        ("covid-chestxray", "covid-chestxray-dataset", {}, (304, 304, 290)),
        ("openi", "iu_openi", {}, (2983, 2983, 2983)),
        ("openi", "iu_openi", {"reports": "all"}, (3826, 2983, 3826)),
        ("openi", "iu_openi", {"layout": "nlm", "reports": "all"}, (3927, 2982, 3927)),
        ("openi", "iu_openi", {"layout": "r2gen", "reports": "all"}, (2955, 2405, 2955)),
        ("roco", "roco_cxr_captions", {}, (377, 0, 377)),
    ],
)
def test_real_counts(name: str, folder: str, options: dict[str, str], counts: tuple[int, int, int]) -> None:
    studies, drops = read(name, real_data(folder), **options)
    images = sum(bool(study.image_path) for study in studies)
    if name == "openi":  # images that no report keeps are drops with a reason
        others = sum("another image" in drop.reason for drop in drops)
        assert images + others == {"nlm": 3095, "r2gen": 2495}.get(options.get("layout", ""), 3096)
    assert (len(studies), images, sum(study.report is not None for study in studies)) == counts


def test_real_layouts_of_openi_share_their_patients() -> None:
    root = real_data("iu_openi")
    nlm = {study.patient_id for study in read("openi", root, layout="nlm", reports="all")[0]}
    r2gen = {study.patient_id for study in read("openi", root, layout="r2gen", reports="all")[0]}
    assert r2gen <= nlm
    assert {study.split for study in read("openi", root, layout="r2gen")[0]} == {"train", "val", "test"}


def test_a_folder_that_is_not_there_is_not_taken_for_an_empty_one(tmp_path: Path) -> None:
    with pytest.raises(XLIPError, match="cannot read the source \\(No such file or directory\\)"):
        prepare("folder", tmp_path / "missing", tmp_path / "out", workers=0)


def test_files_under_gives_every_file_but_the_hidden_ones(tmp_path: Path) -> None:
    for name in ("a.png", "b/c.png", "b/d/e.txt", "b/.hidden.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    expected = {name: tmp_path / name for name in ("a.png", "b/c.png", "b/d/e.txt")}
    assert {name: Path(file) for name, file in files_under(tmp_path)} == expected
