"""A user's own table: every way that was seen to go wrong, with invented rows."""

from __future__ import annotations

import itertools
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xlip.errors import XLIPError
from xlip.images.files import encode
from xlip.preparation.run import prepare
from xlip.sources.csv import studies
from xlip.sources.labels import LabelColumns
from xlip.sources.source import Candidate, Dropped, Noticed, Row, is_table
from xlip.study.labels import ABSENT, PRESENT, UNCERTAIN, LabelState, stronger
from xlip.study.parquet import read_studies, write_studies
from xlip.study.record import Study

IMAGE = encode(np.zeros((8, 9), np.uint8), lossless=True)


def table(root: Path, text: str, images: Sequence[str] = ()) -> Path:
    for name in images:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(IMAGE)
    (root / "t.csv").write_text(text, "utf-8")
    return root / "t.csv"


def read(path: Path, **options: Any) -> tuple[list[Study], list[Dropped], list[Noticed]]:
    options = {name if name in ("kinds", "values") else f"{name}_column": value for name, value in options.items()}
    rows: list[Row] = list(studies(path, **options))
    made = [row.study for row in rows if isinstance(row, Candidate)]
    return made, [row for row in rows if isinstance(row, Dropped)], [row for row in rows if isinstance(row, Noticed)]


@pytest.mark.parametrize(
    ("head", "row", "kind", "state"),
    [
        ("Pacemaker,Endotracheal Tube,Central Venous Catheter", "1,0,0", "Support_Devices", PRESENT),
        ("Pacemaker,Endotracheal Tube,Central Venous Catheter", "0,0,1", "Support_Devices", PRESENT),
        ("Infiltration,Infiltrate", "1,0", "Infiltration", PRESENT),
        ("Nodule,Multiple nodules", "1,0", "Nodule", PRESENT),
        ("Nodule,Multiple nodules", "-1,0", "Nodule", UNCERTAIN),
        ("Nodule,Multiple nodules", "0,", "Nodule", ABSENT),
        ("Nodule,Multiple nodules", "0,-1", "Nodule", UNCERTAIN),
        ("Mass,Mass", "1,0", "Mass", PRESENT),
        ("Mass,mass,MASS", "0,,1", "Mass", PRESENT),
    ],
)
def test_several_columns_of_one_kind_are_joined_and_said_to_be(
    head: str, row: str, kind: str, state: LabelState, tmp_path: Path
) -> None:
    path = table(tmp_path, f"path,report,patient,{head}\nimg/a.png,pacemaker,1,{row}\n", ["img/a.png"])
    (study,), drops, notes = read(path, image="path", report="report", patient="patient")
    assert (study.labels, drops) == ({kind: state}, [])
    (note,) = notes
    assert note.row == "t.csv:1"
    assert f"columns were joined to one kind, {kind} = {head.split(',')[0]} + " in note.reason


def test_the_card_says_which_columns_were_joined_and_strict_refuses(tmp_path: Path) -> None:
    path = table(tmp_path, "report,patient,Pacemaker,Tube\nClear.,1,1,0\n")
    options = {"report_column": "report", "patient_column": "patient"}
    prepare("csv", path, tmp_path / "out", workers=0, options=options)
    assert "Support_Devices = Pacemaker + Tube" in (tmp_path / "out" / "README.md").read_text("utf-8")
    assert "t.csv:1" in (tmp_path / "out" / "warnings.csv").read_text("utf-8")
    with pytest.raises(XLIPError, match="strict"):
        prepare("csv", path, tmp_path / "strict", workers=0, options=options, strict=True)
    assert (
        read(path, report="report", patient="patient", kinds="Pacemaker,Tube")[2] == []
    )  # who names them is not warned


@given(st.lists(st.sampled_from([None, ABSENT, UNCERTAIN, PRESENT]), max_size=5))
def test_the_strongest_state_wins_whatever_the_order(states: list[LabelState | None]) -> None:
    known = [state for state in states if state is not None]
    expected = next((state for state in (PRESENT, UNCERTAIN, ABSENT) if state in known), None)
    found: LabelState | None = None
    for state in known:
        found = stronger(found, state)
    assert found == expected


@pytest.mark.parametrize(
    ("cells", "state"),
    [
        (("1", "1.0", "1.00", "+1", "true", "T", "YES", "y", "Present", "positive", "Pos", "sí", "ja", "oui"), PRESENT),
        (("0", "0.0", "-0", "false", "No", "N", "absent", "NEGATIVE", "neg", "nein"), ABSENT),
        (("-1", "-1.0", "uncertain", "possible", "?"), UNCERTAIN),
        (("", "nan", "None", "N/A", "NULL", "unknown", "not mentioned"), None),
    ],
)
def test_what_label_cells_may_say(cells: tuple[str, ...], state: LabelState | None) -> None:
    columns = LabelColumns({"Mass": "Mass"})
    for cell in cells:
        assert columns.labels({"Mass": cell}).get("Mass") == state, cell


@pytest.mark.parametrize("cell", ["0.7", "2", "maybe", "1,5", "inf"])
def test_other_values_are_refused_with_row_and_remedy_unless_they_are_mapped(cell: str, tmp_path: Path) -> None:
    path = table(tmp_path, f"report;Mass\nClear.;{cell}\nClear.;1\n")
    kept, (drop,), _ = read(path, report="report")
    assert len(kept) == 1
    assert drop.row == "t.csv:2"
    assert f"column Mass: expected 1 (present), 0 (absent), -1 (uncertain) or empty, got '{cell}'" in drop.reason
    assert "`values`" in drop.reason
    if "," not in cell:
        (first, _), drops, _ = read(path, report="report", values=f"{cell}=uncertain, x=absent")
        assert (first.labels, drops) == ({"Mass": UNCERTAIN}, [])
    with pytest.raises(XLIPError, match="CELL=STATE"):
        read(path, report="report", values="0.7=perhaps")


@pytest.mark.parametrize(
    "cell", ["Mass|Effusion", "Mass;Effusion", '"Mass, Pleural effusion"', "\"['Mass', 'Effusion']\""]
)
@pytest.mark.parametrize("named", [False, True])
def test_a_column_that_holds_several_kinds(cell: str, named: bool, tmp_path: Path) -> None:
    path = table(tmp_path, f"text,Finding Labels,patient\nA mass.,{cell},1\nClear.,No Finding,2\nx.,,3\n")
    options = {"labels": "Finding Labels"} if named else {}
    (first, second, third), drops, notes = read(path, report="text", patient="patient", **options)
    assert first.labels == {"Mass": PRESENT, "Effusion": PRESENT, "No_Finding": ABSENT}
    assert (second.labels, third.labels, drops) == ({"No_Finding": PRESENT}, {}, [])
    assert (
        [note.reason.split(":")[0] for note in notes] == []
        if named
        else ["Finding Labels was taken for a list of kinds"]
    )


def test_words_that_are_no_kinds_go_to_the_tags_and_are_named(tmp_path: Path) -> None:
    path = table(tmp_path, "text,what,patient\nA mass.,Mass|Grumpiness,1\n")
    (study,), _, (note,) = read(path, report="text", labels="what", patient="patient")
    assert (study.labels["Mass"], study.tags, note.row) == (PRESENT, ("Grumpiness",), "t.csv:2")


def test_one_row_per_finding_is_one_study(tmp_path: Path) -> None:
    text = "path,patient,finding,state\na.png,1,Mass,1\na.png,1,Effusion,0\nb.png,2,Mass,0\na.png,1,Edema,-1\n"
    path = table(tmp_path, text, ["a.png", "b.png"])
    named = {"image": "path", "patient": "patient", "labels": "finding", "state": "state"}
    (first, second), drops, notes = read(path, **named)
    assert first.labels == {"Mass": PRESENT, "Effusion": ABSENT, "Edema": UNCERTAIN, "No_Finding": ABSENT}
    assert (second.labels, drops, notes) == ({"Mass": ABSENT}, [], [])
    wide = table(tmp_path, "path,patient,Mass,Edema\na.png,1,1,\na.png,1,0,1\nb.png,2,0,0\n")
    (first, second), drops, notes = read(wide, image="path", patient="patient")
    assert (first.labels, drops) == ({"Mass": PRESENT, "Edema": PRESENT}, [])
    assert [note.reason for note in notes] == [
        "rows of one image or id were joined: lines 2, 3",
        "rows of one image contradict each other: Mass",
    ]


def test_rows_of_one_image_keep_their_own_reports_and_refuse_two_patients(tmp_path: Path) -> None:
    path = table(
        tmp_path,
        "path,text,who,Mass\na.png,,1,1\na.png,One.,1,0\na.png,Two.,1,\nb.png,x,2,\nb.png,x,3,\n",
        ["a.png", "b.png"],
    )
    kept, drops, _ = read(path, image="path", report="text", patient="who")
    assert [(study.report, study.labels) for study in kept] == [
        ("One.", {"Mass": PRESENT}),
        ("Two.", {"Mass": PRESENT}),
    ]
    assert [drop.row for drop in drops] == ["t.csv:5", "t.csv:6"]
    assert "different patients" in drops[0].reason


def test_ids_that_were_numbers_are_one_patient_and_missing_ones_are_named(tmp_path: Path) -> None:
    path = table(tmp_path, "text,who\na.,123\nb.,123.0\nc.,nan\nd.,\ne.,1.23457E+12\nf.,p7\ng.,P7\n")
    kept, (drop,), notes = read(path, report="text", patient="who")
    assert [study.patient_id for study in kept] == ["csv/123", "csv/123", "csv/t:4", "csv/t:5", "csv/p7", "csv/P7"]
    assert (drop.row, "rounded" in drop.reason) == ("t.csv:6", True)
    found = {note.row: note.reason.split(":")[0] for note in notes}
    assert found == {
        "t.csv:3": "a whole number as an id was written with a point",
        "t.csv:4": "no patient id",
        "t.csv:5": "no patient id",
        "t.csv:7": "a patient id differs from another in capitals or zeros",
        "t.csv:8": "a patient id differs from another in capitals or zeros",
    }


def test_columns_that_were_not_named_are_pointed_out(tmp_path: Path) -> None:
    _, _, notes = read(table(tmp_path, "text,Patient ID,split\na.,1,test\n"), report="text")
    assert [note.reason.split(":")[0] for note in notes] == ["Patient ID was not read", "split was not read"]


def test_splits_ages_sexes_and_views(tmp_path: Path) -> None:
    rows = ["Train,Mujer,57,PA", "validate,H,411,ap", "valid,Homme,1950-02-03,LL", "TEST,W,6 Monate,odd", ",x,,"]
    path = table(tmp_path, "text,part,sex,age,view\n" + "".join(f"a.,{row}\n" for row in [*rows, "fold1,F,1,PA"]))
    kept, (drop,), notes = read(path, report="text", split="part", sex="sex", age="age", view="view")
    assert [study.split for study in kept] == ["train", "val", "val", "test", "train"]
    assert [study.sex for study in kept] == ["F", "M", "M", "F", ""]
    assert [study.age for study in kept] == [57.0, None, None, 0.5, None]
    assert (drop.row, "expected train, val or test, got 'fold1'" in drop.reason) == ("t.csv:7", True)
    found = [(note.row, note.reason.split(":")[0]) for note in notes]
    assert ("t.csv:3", "an age is not understood") in found
    assert ("t.csv:4", "an age is not understood") in found
    assert ("t.csv:6", "a sex is not understood") in found
    assert ("t.csv:6", "no split") in found


def test_m_and_h_alone_are_mujer_and_hombre(tmp_path: Path) -> None:
    kept, _, _ = read(table(tmp_path, "text,sex\na.,M\nb.,H\n"), report="text", sex="sex")
    assert [study.sex for study in kept] == ["F", "M"]


@pytest.mark.parametrize(
    ("cell", "stored", "noted"),
    [
        ("img\\a.png", "img/a.png", []),
        (".\\img\\a.png", "img/a.png", []),
        ("C:\\export\\2020\\img\\a.png", "img/a.png", ["a path of another machine"]),
        ("\\\\server\\share\\img\\a.png", "img/a.png", ["a path of another machine"]),
        ("/mnt/pacs/img/a.png", "img/a.png", ["a path of another machine"]),
    ],
)
def test_paths_of_other_systems_are_found(cell: str, stored: str, noted: list[str], tmp_path: Path) -> None:
    (study,), drops, notes = read(table(tmp_path, f"path\n{cell}\n", ["img/a.png"]), image="path")
    assert (study.image_path, drops) == (stored, [])
    assert [note.reason.split(":")[0] for note in notes] == noted


def test_an_absolute_path_leaves_no_folder_names_behind(tmp_path: Path) -> None:
    path = table(tmp_path, "path\n" + str(tmp_path / "Doe_Jane" / "a.png") + "\n", ["Doe_Jane/a.png"])
    assert read(path, image="path")[0][0].image_path == "a.png"


@pytest.mark.parametrize(
    "cell", ["a.png;b.png", "a.png|b.png", '"a.png, b.png"', "\"['a.png', 'b.png']\"", '"a.png\nb.png"']
)
def test_several_paths_in_a_cell_are_a_study_each(cell: str, tmp_path: Path) -> None:
    path = table(tmp_path, f"path,text,Mass\n{cell},A mass.,1\n", ["a.png", "b.png"])
    kept, drops, (note,) = read(path, image="path", report="text")
    assert [(one.study_id, one.patient_id, one.image_path) for one in kept] == [
        ("csv/t:2/1", "csv/t:2", "a.png"),
        ("csv/t:2/2", "csv/t:2", "b.png"),
    ]
    assert drops == []
    assert note.reason.startswith("several images in one cell")
    (tmp_path / "b.png").unlink()
    kept, (drop,), _ = read(path, image="path", report="text")
    assert ([one.image_path for one in kept], drop.reason) == (["a.png"], "image file b.png not found")


def test_faults_of_the_table_become_drops_and_warnings(tmp_path: Path) -> None:
    rows = ["a.png,No mass, no pneumothorax,1", 'b.png,"Clear,2', "c.png,ok,3", "c.png,ok,4", 'a.png,"x']
    path = table(tmp_path, "\n".join(["path,text,who", *rows, ""]), ["a.png", "b.png", "c.png"])
    options = {"image_column": "path", "report_column": "text", "patient_column": "who"}
    summary = prepare("csv", path, tmp_path / "out", workers=0, options=options)
    assert (summary.kept, summary.dropped) == (
        1,
        {
            "a row with more or fewer cells than the header": 1,
            "the rows of one image or id name different patients; mend the table": 2,
            "a stray quotation mark": 1,
        },
    )
    assert "t.csv:3" in (tmp_path / "out" / "warnings.csv").read_text("utf-8")
    assert [study.patient_id for study in read_studies(tmp_path / "out")] == ["csv/2"]


def test_a_zipped_set_is_read_by_its_url(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        archive.writestr("set/t.csv", "path,text\nimg/a.png,Clear.\nimg/b.png,ok\n")
        archive.writestr("set/img/a.png", IMAGE)
    options = {"image_column": "path", "report_column": "text"}
    for url in (f"zip://set/t.csv::{tmp_path}/set.zip", f"zip://set/t.csv::file://{tmp_path}/set.zip"):
        summary = prepare("csv", url, tmp_path / "out", workers=2, options=options)
        (study,) = read_studies(tmp_path / "out")
        assert (summary.kept, study.image_path, study.image) == (1, "img/a.png", IMAGE)
        assert summary.dropped == {"image file not found": 1}
    summary = prepare("folder", f"zip://{tmp_path}/set.zip", tmp_path / "folder", workers=2)
    assert [study.study_id for study in read_studies(tmp_path / "folder")] == ["folder/set/img/a.png"]
    for wrong in (f"zip://{tmp_path}/set.zip", f"zip://x.csv::{tmp_path}/none.zip", "nonsense://x"):
        with pytest.raises(XLIPError) as caught:
            prepare("csv", wrong, tmp_path / "wrong", workers=0, options=options)
        assert "\n" not in str(caught.value)


def test_pictures_inside_a_data_set_and_its_splits(tmp_path: Path) -> None:
    import datasets

    made = {"image": [{"bytes": IMAGE, "path": "a.png"}] * 2, "label": [0, 1], "text": ["Clear.", "Pneumonia."]}
    features = {
        "image": datasets.Image(),
        "label": datasets.ClassLabel(names=["No Finding", "Pneumonia"]),
        "text": datasets.Value("string"),
    }
    part = datasets.Dataset.from_dict(made, features=datasets.Features(features))
    datasets.DatasetDict({"train": part, "validation": part}).save_to_disk(tmp_path / "hf")
    assert is_table(str(tmp_path / "hf"))
    options = {"image_column": "image", "report_column": "text", "labels_column": "label"}
    prepare("csv", tmp_path / "hf", tmp_path / "out", workers=0, options=options)
    kept = list(read_studies(tmp_path / "out"))
    assert [(study.split, study.labels.get("Pneumonia")) for study in kept] == [
        *(("train", None), ("train", PRESENT), ("val", None), ("val", PRESENT)),
    ]
    assert all(study.image == IMAGE for study in kept)


def test_a_table_is_told_from_a_prepared_set(tmp_path: Path) -> None:
    write_studies([Study("a/1", "p", "a", report="x")], tmp_path / "set" / "part-00000-of-00001.parquet")
    assert not is_table(str(tmp_path / "set"))
    assert not is_table(str(tmp_path / "set" / "part-00000-of-00001.parquet"))
    assert not is_table(str(tmp_path))
    assert all(is_table(f"x{suffix}") for suffix in (".csv", ".CSV", ".tsv", ".xlsx", ".csv.gz", ".jsonl"))


def test_the_result_does_not_depend_on_the_format(tmp_path: Path) -> None:
    """One table as CSV of several kinds, Excel, JSON lines and Parquet gives the same studies."""
    import json

    import openpyxl
    import pyarrow as pa
    import pyarrow.parquet as pq

    head = ["path", "text", "who", "Mass", "sex", "age"]
    rows: list[list[Any]] = [["a.png", "Größe, ok.", 7, 1, "F", 50], ["b.png", "Clear.", 8, None, "M", None]]
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(IMAGE)
    text = "\n".join("\t".join("" if cell is None else str(cell) for cell in row) for row in [head, *rows])
    (tmp_path / "t.tsv").write_text(text, "utf-16")
    (tmp_path / "t.CSV").write_bytes(text.replace("\t", ";").encode("cp1252"))
    (tmp_path / "t.jsonl").write_text("\n".join(json.dumps(dict(zip(head, row, strict=True))) for row in rows))
    pq.write_table(pa.Table.from_pylist([dict(zip(head, row, strict=True)) for row in rows]), tmp_path / "t.parquet")
    book = openpyxl.Workbook()
    for row in [head, *rows]:
        book.active.append(row)
    book.save(tmp_path / "t.xlsx")
    found = []
    for name in ("t.tsv", "t.CSV", "t.jsonl", "t.parquet", "t.xlsx"):
        kept, drops, _ = read(tmp_path / name, image="path", report="text", patient="who", sex="sex", age="age")
        assert drops == []
        found.append([study._replace(study_id="") for study in kept])
    assert all(one == found[0] for one in found)
    assert [(study.report, study.labels, study.age) for study in found[0]] == [
        *(("Größe, ok.", {"Mass": PRESENT}, 50.0), ("Clear.", {}, None)),
    ]
    assert len(list(itertools.chain(*found))) == 10
