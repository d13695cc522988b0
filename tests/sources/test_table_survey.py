"""What only the whole table tells: spellings of one image or patient, columns that nobody reads, rounded ids."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from xlip.sources.csv import studies
from xlip.sources.source import Candidate, Dropped, Noticed
from xlip.study.labels import ABSENT, PRESENT, LabelState
from xlip.study.record import Study

NAMES = [f"img/{letter}.png" for letter in "abcdef"]


def read(root: Path, text: str, suffix: str = "csv", **options: Any) -> tuple[list[Study], list[str], list[str]]:
    """Studies, reasons of drops, reasons of notices."""
    for name in NAMES:
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(b"never opened")
    (root / f"t.{suffix}").write_text(text, "utf-8")
    rows = list(studies(root / f"t.{suffix}", image_column="path", **options))
    made = [row.study for row in rows if isinstance(row, Candidate)]
    dropped = [row.reason for row in rows if isinstance(row, Dropped)]
    return made, dropped, [row.reason for row in rows if isinstance(row, Noticed)]


SPELLINGS = ("./img/a.png", "img//a.png", "img\\a.png", "img/../img/a.png", "/old/disk/img/a.png", "C:\\x\\img\\a.png")


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_an_image_under_another_spelling_is_no_other_study(spelling: str, tmp_path: Path) -> None:
    text = f"path,patient,Effusion,Mass\nimg/a.png,1,1,\n{spelling},1,0,1\n"
    (study,), dropped, said = read(tmp_path, text, patient_column="patient")
    assert study.labels == {"Effusion": PRESENT, "Mass": PRESENT}
    assert not dropped
    assert "rows of one image contradict each other: Effusion" in said
    made, dropped, _ = read(tmp_path, text.replace(",1,0,1", ",2,0,1"), patient_column="patient")
    assert not made
    assert dropped == ["the rows of one image or id name different patients; mend the table"] * 2


def test_an_image_in_a_cell_of_several_and_in_another_row_is_noticed(tmp_path: Path) -> None:
    made, _, said = read(tmp_path, "path\nimg/a.png;img/b.png\nimg/b.png\nimg/c.png;img/d.png\n")
    assert len(made) == 5
    assert said.count("an image of several in one cell stands in another row, or twice: it is in two studies") == 1


@pytest.mark.parametrize(
    ("ids", "patients"),
    [
        (("Mu\u0308ller", "M\u00fcller"), 1),
        (("P1\u200b", "P1", "\ufeffP1", "P\u20601"), 1),
        (("P 1", "P\u00a01"), 1),
        (('"=""00123"""', "00123", "'00123"), 1),
        (("123.0", "123", "123.00"), 1),
        (("P1", "P2"), 2),
        (("\\N", ".", "-", "--", "#REF!", "#NV"), 6),
        (("(null)", "N/A", "#####", "(blank)"), 4),
    ],
)
def test_spellings_of_one_id_are_one_patient_and_no_id_is_nobody(
    ids: Sequence[str], patients: int, tmp_path: Path
) -> None:
    rows = "".join(f"{name},{id_}\n" for name, id_ in zip(NAMES, ids, strict=False))
    made, dropped, _ = read(tmp_path, f"path,patient\n{rows}", patient_column="patient")
    assert len(made) == len(ids)
    assert len({study.patient_id for study in made}) == patients
    assert not dropped


def test_ids_that_all_end_in_zeros_behind_the_15th_digit_are_pointed_out(tmp_path: Path) -> None:
    def said(ids: Sequence[str]) -> bool:
        rows = "".join(f"{name},{id_}\n" for name, id_ in zip(NAMES, ids, strict=False))
        notices = read(tmp_path, f"path,patient\n{rows}", patient_column="patient")[2]
        return any(one.startswith("all ids of more than 15 digits end in zeros") for one in notices)

    assert said(["1234567890123450", "2234567890123400.0", "1234567890987650"])
    assert not said(["1234567890123450", "2234567890123451", "1234567890987650"])
    assert not said(["123450", "223450", "123000"])


@pytest.mark.parametrize(
    ("column", "cells", "noticed"),
    [
        ("No Effusion", ("1", ""), True),
        ("Mass (reader 1)", ("0", "0"), True),
        ("Mass_x", ("yes", "no"), True),
        ("Erguss", ("1", "0"), True),
        ("Mass note", ("3 cm", ""), False),
        ("bed", ("1", "1"), False),
        ("ward", ("4", "7"), False),
        ("Mass", ("1", "0"), False),
    ],
)
def test_columns_of_labels_that_no_kind_is_called_by_are_named(
    column: str, cells: tuple[str, str], noticed: bool, tmp_path: Path
) -> None:
    text = f"path,{column}\nimg/a.png,{cells[0]}\nimg/b.png,{cells[1]}\n"
    said = read(tmp_path, text)[2]
    assert (f"columns that hold labels were not read, for no kind is called so: {column}; name by kinds those to use"
            in said) == noticed  # fmt: skip
    assert len(said) == noticed
    assert not read(tmp_path, text.replace("path,", "path,Edema,").replace("png,", "png,1,"), kinds="Edema")[2]


@pytest.mark.parametrize(
    ("row", "labels", "said"),
    [
        ('"Mass": 1, "Mass": 0', {"Mass": PRESENT}, "columns were joined to one kind, Mass = Mass + Mass.1"),
        ('" Mass": 1, "Mass ": 0', {"Mass": PRESENT}, "columns were joined to one kind, Mass = Mass + Mass.1"),
        ('"No Finding": 1, "Mass": 1', {"No_Finding": PRESENT, "Mass": PRESENT}, "No_Finding stands beside a finding"),
        ('"No Finding": 1, "Pacemaker": 1', {"No_Finding": PRESENT, "Support_Devices": PRESENT}, ""),
    ],
)
def test_no_label_is_written_over_or_contradicted_in_silence(
    row: str, labels: dict[str, LabelState], said: str, tmp_path: Path
) -> None:
    (study,), _, notices = read(tmp_path, f'{{"path": "img/a.png", {row}}}\n', "jsonl")
    assert study.labels == labels
    assert [notice.startswith(said) for notice in notices] == [True] * bool(said)


def test_a_kind_of_ones_own_in_two_columns_is_said_to_be_joined(tmp_path: Path) -> None:
    (study,), _, said = read(tmp_path, "path,My sign,My sign\nimg/a.png,0,1\n", kinds="My sign")
    assert study.labels == {"My sign": PRESENT}
    assert [one.partition(":")[0] for one in said] == ["columns were joined to one kind, My sign = My sign + My sign.1"]


def test_rows_of_a_list_with_states_may_contradict_each_other(tmp_path: Path) -> None:
    text = "path,sign,state\nimg/a.png,Effusion,1\nimg/a.png,Effusion,0\n"
    (study,), _, said = read(tmp_path, text, labels_column="sign", state_column="state")
    assert study.labels["Effusion"] == PRESENT
    assert said == ["rows of one image contradict each other: Effusion"]


def test_a_value_that_was_told_is_known_however_it_is_written(tmp_path: Path) -> None:
    made, dropped, _ = read(tmp_path, "path,Mass\nimg/a.png,2.0\nimg/b.png,2\nimg/c.png,0.50\n", values="2=1,.5=0")
    assert [study.labels["Mass"] for study in made] == [PRESENT, PRESENT, ABSENT]
    assert not dropped


def test_m_and_v_may_be_mujer_and_varon_or_man_and_vrouw(tmp_path: Path) -> None:
    made, _, said = read(tmp_path, "path,sex\nimg/a.png,M\nimg/b.png,V\n", sex_column="sex")
    assert [study.sex for study in made] == ["", ""]
    assert all("mujer and varón, or man and vrouw" in one for one in said)
    made, _, _ = read(tmp_path, "path,sex\nimg/a.png,M\nimg/b.png,F\nimg/c.png,V\n", sex_column="sex")
    assert [study.sex for study in made] == ["M", "F", ""]


def test_a_formula_that_failed_is_no_report_and_is_named(tmp_path: Path) -> None:
    made, _, said = read(
        tmp_path, "path,report\nimg/a.png,#VALUE!\nimg/b.png,Small effusion.\n", report_column="report"
    )
    assert [study.report for study in made] == [None, "Small effusion."]
    assert said == ["a formula failed, in column report: the cell was taken as empty"]


def test_texts_that_parquet_holds_as_bytes_are_read(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    texts = ["Großer Erguss.", "Normal."]
    columns = {
        "path": ["img/a.png", "img/b.png"],
        "report": pa.array([texts[0].encode("cp1252"), texts[1].encode()], pa.binary()),
        "Mass": pa.array([b"1", b"0"], pa.large_binary()),
        "patient": pa.array([b"p", b"p"], pa.binary()),
        "picture": pa.array([b"\x89PNG\r\n\x1a\n\0", None], pa.binary()),
    }
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    (tmp_path / "img").mkdir()
    for name in NAMES:
        (tmp_path / name).write_bytes(b"")
    options = {"image_column": "path", "report_column": "report", "patient_column": "patient"}
    made = [row.study for row in studies(tmp_path / "t.parquet", **options) if isinstance(row, Candidate)]
    assert [study.report for study in made] == texts
    assert [study.labels for study in made] == [{"Mass": PRESENT}, {"Mass": ABSENT}]
    assert {study.patient_id for study in made} == {"csv/p"}


def test_a_header_with_characters_that_nobody_sees_is_read(tmp_path: Path) -> None:
    (study,), _, _ = read(tmp_path, "\u200bpath,Patient\u00a0ID\nimg/a.png,7\n", patient_column="Patient ID")
    assert study.patient_id == "csv/7"
    (study,), _, _ = read(tmp_path, json.dumps({"\u200bpath": "img/a.png"}) + "\n", "jsonl")
    assert study.image_path == "img/a.png"
