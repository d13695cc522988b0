from __future__ import annotations

import bz2
import gzip
import json
import lzma
import zipfile
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from xlip.errors import XLIPError
from xlip.tables.read import SUFFIXES, has_table_suffix, read_rows
from xlip.tables.row import Fault, Row

TEXT = "path,report,patient\na.png,Größe normal – ok,1\nb.png,Épanchement,2\n"
WANTED = [["a.png", "Größe normal – ok", "1"], ["b.png", "Épanchement", "2"]]


def cells(path: Path, **options: Any) -> list[list[str]]:
    return [list(row.cells.values()) for row in read_rows(path, **options) if isinstance(row, Row)]


def faults(path: Path, **options: Any) -> list[Fault]:
    return [row for row in read_rows(path, **options) if isinstance(row, Fault)]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"])
@pytest.mark.parametrize("packed", [False, True])
def test_every_usual_encoding_is_read(encoding: str, packed: bool, tmp_path: Path) -> None:
    data = TEXT.encode(encoding)
    (tmp_path / "t.csv").write_bytes(gzip.compress(data) if packed else data)
    assert cells(tmp_path / "t.csv", required=("path", "patient")) == WANTED
    guessed = [fault.reason for fault in faults(tmp_path / "t.csv")]
    assert [reason.startswith("not UTF-8: read as cp1252") for reason in guessed] == [True] * (encoding == "cp1252")


def test_a_file_that_mixes_utf8_and_cp1252_keeps_both(tmp_path: Path) -> None:
    first, second = "1,Größe\n", "2,Ödem\n"
    (tmp_path / "t.csv").write_bytes(b"id,text\n" + first.encode() + second.encode("cp1252"))
    assert cells(tmp_path / "t.csv") == [["1", "Größe"], ["2", "Ödem"]]
    assert faults(tmp_path / "t.csv")[0].line == 3


def test_other_encodings_are_guessed_and_named_or_told(tmp_path: Path) -> None:
    text = "id,text\n" + "".join(f"{n},Сердце обычных размеров, легкие чистые.\n".replace(", ", " ") for n in range(9))
    (tmp_path / "t.csv").write_bytes(text.encode("cp1251"))
    (fault,) = faults(tmp_path / "t.csv")
    assert "read as cp1251" in fault.reason
    assert cells(tmp_path / "t.csv", encoding="cp1251")[0] == ["0", "Сердце обычных размеров легкие чистые."]
    assert faults(tmp_path / "t.csv", encoding="cp1251") == []
    with pytest.raises(XLIPError, match="unknown encoding 'latin99'"):
        cells(tmp_path / "t.csv", encoding="latin99")


def excel(path: Path) -> None:
    book = openpyxl.Workbook()
    notes = book.active
    notes.append(["see the next sheet"])
    sheet = book.create_sheet("data")
    sheet.append([])
    sheet.append(["path", "report", "patient", "born", "Mass", "Edema"])
    sheet.append(["a.png", "Clear_x000D_\nlungs", 123.0, date(1950, 2, 1), True, None])
    sheet.append([None] * 6)
    sheet.append(["b.png", "ok", 7, None, 0, -1.0])
    book.save(path)


def test_excel_is_read_from_the_sheet_with_the_columns(tmp_path: Path) -> None:
    excel(tmp_path / "T.XLSX")
    assert cells(tmp_path / "T.XLSX", required=("path",)) == [
        ["a.png", "Clear\r\nlungs", "123", "1950-02-01", "true", ""],
        ["b.png", "ok", "7", "", "0", "-1"],
    ]
    lines = [row.line for row in read_rows(tmp_path / "T.XLSX", ("path",)) if isinstance(row, Row)]
    assert lines == [3, 5]
    assert "'data' was read" in faults(tmp_path / "T.XLSX", required=("path",))[0].reason
    assert cells(tmp_path / "T.XLSX", sheet="data") == cells(tmp_path / "T.XLSX", required=("path",))
    with pytest.raises(XLIPError, match="no sheet 'x'; its sheets are Sheet, data"):
        cells(tmp_path / "T.XLSX", sheet="x")


def test_formulas_that_were_never_computed_are_refused(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    book.active.append(["path", "Mass"])
    book.active.append(["a.png", "=1+0"])
    book.save(tmp_path / "t.xlsx")
    with pytest.raises(XLIPError, match="never computed"):
        cells(tmp_path / "t.xlsx")


def test_json_lines_know_every_key_and_name_bad_lines(tmp_path: Path) -> None:
    lines = ['{"path": "a.png", "Mass": 1}', "", "{broken", "[1]", '{"path": null, "tags": ["x", "y"], "ok": true}']
    (tmp_path / "t.jsonl").write_text("\n".join(lines) + "\n")
    rows = [row for row in read_rows(tmp_path / "t.jsonl", ("tags",)) if isinstance(row, Row)]
    assert [row.cells for row in rows] == [
        {"path": "a.png", "Mass": "1", "tags": "", "ok": ""},
        {"path": "", "Mass": "", "tags": '["x", "y"]', "ok": "true"},
    ]
    assert [(fault.line, fault.lost) for fault in faults(tmp_path / "t.jsonl")] == [(3, True), (4, True)]
    (tmp_path / "t.json").write_text(json.dumps([{"a": 1}, {"a": "x"}], indent=1))
    assert cells(tmp_path / "t.json") == [["1"], ["x"]]


def parquet(path: Path) -> None:
    table = pa.table(
        {
            "image": pa.array([{"bytes": b"\x89PNG", "path": "a.png"}, None]),
            "label": pa.array([1, 0]),
            "patient": pa.array([123.0, None]),
            "kinds": pa.array([["Mass"], []]),
        }
    )
    features = {"label": {"names": ["NORMAL", "PNEUMONIA"], "_type": "ClassLabel"}}
    noted = {"huggingface": json.dumps({"info": {"features": features}})}
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table.replace_schema_metadata(noted), path)


def test_parquet_brings_pictures_names_of_classes_and_lists(tmp_path: Path) -> None:
    parquet(tmp_path / "t.parquet")
    rows = [row for row in read_rows(tmp_path / "t.parquet", ("image",), pictures=True) if isinstance(row, Row)]
    assert rows[0].pictures == {"image": b"\x89PNG"}
    assert rows[0].cells == {"image": "a.png", "label": "PNEUMONIA", "patient": "123.0", "kinds": '["Mass"]'}
    assert rows[1].cells == {"image": "", "label": "NORMAL", "patient": "", "kinds": "[]"}
    assert cells(tmp_path / "t.parquet") == [list(row.cells.values()) for row in rows]


def test_data_set_folders_bring_their_splits(tmp_path: Path) -> None:
    import datasets

    for split in ("train", "validation"):
        parquet(tmp_path / "hub" / "data" / f"{split}-00000-of-00001.parquet")
    assert [row[-1] for row in cells(tmp_path / "hub", required=("split",))] == ["train"] * 2 + ["validation"] * 2
    made = {name: datasets.Dataset.from_dict({"text": ["a", "b"]}) for name in ("train", "test")}
    datasets.DatasetDict(made).save_to_disk(tmp_path / "saved")
    assert cells(tmp_path / "saved") == [["a", "train"], ["b", "train"], ["a", "test"], ["b", "test"]]
    assert [row.line for row in read_rows(tmp_path / "saved") if isinstance(row, Row)] == [1, 2, 3, 4]
    made["train"].save_to_disk(tmp_path / "alone")
    assert cells(tmp_path / "alone") == [["a"], ["b"]]


def old_excel(path: Path) -> None:
    path.write_bytes(b"\xd0\xcf\x11\xe0" + bytes(600))


def archive(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as made:
        made.writestr("t.csv", "a\n1\n")


def open_document(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as made:
        made.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        made.writestr("content.xml", "<x/>")


BROKEN: dict[str, tuple[Callable[[Path], Any], str]] = {
    "old Excel": (old_excel, "save it as .xlsx"),
    "an archive": (archive, "a zip archive, not a workbook"),
    "a page": (lambda path: path.write_text("<html>"), "found a page"),
    "empty": (lambda path: path.write_bytes(b""), "empty file"),
    "blank": (lambda path: path.write_bytes(b"\n\n"), "empty file"),
    "cut gzip": (lambda path: path.write_bytes(gzip.compress(TEXT.encode() * 999)[:60]), "not readable as a table"),
    "cut Parquet": (lambda path: path.write_bytes(b"PAR1" + bytes(50)), "not readable as Parquet"),
    "a cut workbook": (lambda path: path.write_bytes(b"PK\x03\x04" + bytes(50)), "damaged"),
    "bzip2": (lambda path: path.write_bytes(bz2.compress(TEXT.encode())), "found an archive of bzip2; unpack it"),
    "xz": (lambda path: path.write_bytes(lzma.compress(TEXT.encode())), "found an archive of xz; unpack it"),
    "RTF": (lambda path: path.write_bytes(b"{\\rtf1 path"), "a word processor"),
    "SAS": (lambda path: path.write_bytes(bytes(12) + b"\xc2\xea\x81\x60" + bytes(99)), "found a file of SAS"),
    "another program's": (lambda path: path.write_bytes(bytes(range(1, 32)) * 9), "found a file of another program"),
    "OpenDocument": (open_document, "a workbook in another format"),
    "objects in one line": (lambda path: path.write_text('{"a": 1}{"a": 2}\n'), "line 1: not readable as JSON"),
    "a folder": (lambda path: path.mkdir(), "name the file of the table"),
    "nothing": (lambda path: None, "no such file"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_table_is_refused_in_one_line(name: str, tmp_path: Path) -> None:
    make, reason = BROKEN[name]
    make(tmp_path / "t.csv")
    with pytest.raises(XLIPError, match=reason) as caught:
        cells(tmp_path / "t.csv")
    assert "\n" not in str(caught.value)


def test_a_missing_column_is_named_with_those_that_are_there(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(TEXT, "utf-8")
    with pytest.raises(XLIPError, match="no column 'text'; its columns are path, report, patient"):
        cells(tmp_path / "t.csv", required=("text",))


def test_suffixes_are_known_in_any_case() -> None:
    assert all(has_table_suffix(f"/x/Y{suffix.upper()}") for suffix in SUFFIXES)
    assert has_table_suffix("x.csv.gz")
    assert not has_table_suffix("x.png")
    assert not has_table_suffix("/csv/x")
