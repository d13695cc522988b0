"""`xlip tag`: every kind of input and output, bad input, several processes, nothing half-written."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from xlip.cli import main
from xlip.errors import XLIPError
from xlip.reports.entities import TAGGER, tag
from xlip.reports.tag_inputs import Document, decode_text, read_documents
from xlip.reports.tag_run import TagConfig, output_schema, tag_to
from xlip.study.parquet import read_studies, write_studies
from xlip.study.record import Study

REPORTS = ("No pneumothorax. Small left effusion.", "Normal chest.", "Possible pneumonia.")


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def write_inputs(folder: Path) -> dict[str, Path]:
    """The three reports in every form that is read."""
    files = {name: folder / name for name in ("r.jsonl", "r.csv", "r.parquet", "studies.parquet")}
    files["r.jsonl"].write_text("".join(json.dumps({"id": f"r{n}", "text": t}) + "\n" for n, t in enumerate(REPORTS)))
    with files["r.csv"].open("w", newline="") as stream:
        csv.writer(stream).writerows([("uid", "report"), *((f"r{n}", t) for n, t in enumerate(REPORTS))])
    pq.write_table(pa.table({"id": ["r0", "r1", "r2"], "report": list(REPORTS)}), files["r.parquet"])
    studies = [Study(f"r{n}", "p", "s", report=text) for n, text in enumerate(REPORTS)]
    write_studies(studies, files["studies.parquet"])
    return files


@pytest.mark.parametrize("name", ["r.jsonl", "r.csv", "r.parquet", "studies.parquet"])
def test_every_input_gives_the_same_lines(name: str, tmp_path: Path) -> None:
    source = write_inputs(tmp_path)[name]
    summary = tag_to(TagConfig(str(source), str(tmp_path / "out.jsonl")))
    rows = lines_of(tmp_path / "out.jsonl")
    assert [row["id"] for row in rows] == ["r0", "r1", "r2"]
    assert [row["text"] for row in rows] == list(REPORTS)
    assert rows[0]["kinds"] == {"Pneumothorax": "absent", "Effusion": "present", "No_Finding": "absent"}
    assert rows[0]["chexpert"]["Pleural Effusion"] == 1
    assert rows[0]["chexpert"]["Edema"] is None
    assert rows[2]["kinds"] == {"Pneumonia": "uncertain"}
    assert {row["tagger"] for row in rows} == {TAGGER}
    assert [len(row["entities"]) for row in rows] == [len(tag(text)) for text in REPORTS]
    assert (summary.documents, summary.entities) == (3, sum(len(tag(text)) for text in REPORTS))
    assert not summary.notes


def test_parquet_out_holds_the_same(tmp_path: Path) -> None:
    source = write_inputs(tmp_path)["r.jsonl"]
    tag_to(TagConfig(str(source), str(tmp_path / "out.jsonl")))
    tag_to(TagConfig(str(source), str(tmp_path / "out.parquet")))
    table = pq.read_table(tmp_path / "out.parquet")
    assert table.schema.equals(output_schema())
    for row, line in zip(table.to_pylist(), lines_of(tmp_path / "out.jsonl"), strict=True):
        assert row["entities"] == line["entities"]
        assert {item["kind"]: item["state"] for item in row["kinds"]} == line["kinds"]
        assert {item["label"]: item["value"] for item in row["chexpert"]} == line["chexpert"]


def test_studies_to_parquet_stay_studies_with_new_entities(tmp_path: Path) -> None:
    lone = Study("s/4", "p", "s", image=b"png", image_path="a.png")
    studies = [s._replace(entities=()) for s in read_studies(write_inputs(tmp_path)["studies.parquet"])] + [lone]
    write_studies(studies, tmp_path / "in.parquet")
    tag_to(TagConfig(str(tmp_path / "in.parquet"), str(tmp_path / "out.parquet")))
    *tagged, image = read_studies(tmp_path / "out.parquet")
    assert [study.entities for study in tagged] == [tag(text) for text in REPORTS]
    assert {study.tagger for study in tagged} == {TAGGER}
    assert image == lone


def test_a_folder_of_texts_and_tables(tmp_path: Path) -> None:
    write_inputs(tmp_path)
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "one.txt").write_text("Cardiomegaly.\nNo edema.\n")
    (tmp_path / "image.png").write_bytes(b"no report")
    found = list(read_documents(str(tmp_path)))
    assert len(found) == 13
    assert Document("one", "Cardiomegaly.\nNo edema.\n") in found


def test_standard_input_is_one_report_a_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = b'No edema.\n\n{"report": "Edema.", "study_id": 7}\n'
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(raw)))
    assert main(["tag", "-"]) == 0
    out, err = capsys.readouterr()
    rows = [json.loads(line) for line in out.splitlines()]
    assert [(row["id"], row["text"], row["note"]) for row in rows] == [
        ("stdin:1", "No edema.", ""),
        ("stdin:2", "", "empty text"),
        ("7", "Edema.", ""),
    ]
    assert "tagged 3 reports" in err
    assert "1: empty text" in err


@pytest.mark.parametrize(
    ("raw", "note"),
    [
        (b"", "empty text"),
        (b" \t ", "empty text"),
        (b"No effusion\x00\x07.", "control characters"),
        ("Derrame pleural, pequeño neumotórax.".encode("cp1252"), "read as cp1252"),
        ("No effusion.".encode("utf-16"), "read as utf-16"),
        (b"<p>No effusion<br>Nodule</p>", "HTML markup"),
        (b"Es besteht kein Anhalt fuer einen Infekt oder Erguss.", "language not known to the tagger: de"),
        (b"Qwxz pqrt vbnm lkjh gfds. Zxcv.", "language not known to the tagger: und"),
        (b"no effusion " * 9_000, "long text: 108000 characters"),
        (b"\x81\x8d\xff effusion", "could not be decoded"),
    ],
)
def test_bad_input_is_tagged_as_far_as_it_goes_and_says_why(raw: bytes, note: str, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(raw)
    summary = tag_to(TagConfig(str(tmp_path / "a.txt"), str(tmp_path / "out.jsonl")))
    (row,) = lines_of(tmp_path / "out.jsonl")
    assert note in row["note"]
    assert summary.notes.total() == 1


@pytest.mark.parametrize(
    ("line", "note"),
    [
        ("{broken", "not readable as JSON"),
        ("[1, 2]", "not a JSON object"),
        ('{"id": 3}', "no text under report or text"),
        ('{"text": 5}', "no text under"),
        ('{"text": "edema \\ud800"}', ""),
    ],
)
def test_bad_lines_become_rows_with_a_reason(line: str, note: str, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(line + "\n" + '{"text": "Edema."}\n')
    for suffix in ("jsonl", "parquet"):
        tag_to(TagConfig(str(tmp_path / "a.jsonl"), str(tmp_path / f"out.{suffix}")))
    first, second = lines_of(tmp_path / "out.jsonl")
    assert note in first["note"]
    assert second["kinds"] == {"Edema": "present", "No_Finding": "absent"}


def test_decoding_never_fails() -> None:
    assert decode_text(b"\xef\xbb\xbfa") == ("a", "")
    assert decode_text("ä".encode("cp1252")) == ("ä", "not UTF-8: read as cp1252")
    assert decode_text(bytes(range(256)))[0]


def test_several_processes_give_the_same_in_the_same_order(tmp_path: Path) -> None:
    rows = [json.dumps({"id": str(n), "text": REPORTS[n % 3]}) + "\n" for n in range(700)]
    (tmp_path / "a.jsonl").write_text("".join(rows))
    for workers in (0, 2):
        tag_to(TagConfig(str(tmp_path / "a.jsonl"), str(tmp_path / f"out{workers}.jsonl"), workers=workers))
    assert (tmp_path / "out0.jsonl").read_bytes() == (tmp_path / "out2.jsonl").read_bytes()


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"source": "nowhere.txt"}, "found nothing there"),
        ({"source": "a.docx"}, "expected a file ending in .txt"),
        ({"source": "empty"}, "found none"),
        ({"source": "a.csv"}, "expected a column report or text; its columns are x; set --column"),
        ({"source": "a.csv", "column": "y"}, "no column 'y'; its columns are x"),
        ({"source": "a.csv", "column": "x", "out": "out.xml"}, "ending in .jsonl or .parquet"),
        ({"source": "a.csv", "column": "x", "workers": -1}, "workers"),
        ({"source": "a.csv", "column": "x", "tagger": "nope"}, "tagger: expected rules"),
    ],
)
def test_faults_are_named_and_leave_nothing_behind(options: dict[str, Any], reason: str, tmp_path: Path) -> None:
    (tmp_path / "a.docx").write_text("x")
    (tmp_path / "a.csv").write_text("x\nedema\n")
    (tmp_path / "empty").mkdir()
    before = sorted(tmp_path.iterdir())
    call = {"out": "out.jsonl", **options}
    call |= {name: str(tmp_path / call[name]) for name in ("source", "out")}
    with pytest.raises(XLIPError, match=reason):
        tag_to(TagConfig(**call))
    assert sorted(tmp_path.iterdir()) == before


def test_explain_prints_the_rule(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.txt").write_text("No [bold]edema[/bold]. The heart is enlarged.")
    assert main(["tag", str(tmp_path / "a.txt"), "--explain"]) == 0
    out = capsys.readouterr().out
    assert "absent before: no" in out
    assert "enlarged + heart" in out
    assert "[bold]edema[/bold]" in out


def test_explain_needs_the_rules(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.txt").write_text("edema")
    monkeypatch.setattr("xlip.reports.tagger.radgraph._load", lambda model: lambda texts: {})
    assert main(["tag", str(tmp_path / "a.txt"), "--explain", "--tagger", "radgraph"]) == 2
    assert "explain: expected the tagger rules" in capsys.readouterr().err


def test_spanish_by_option(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Sin derrame pleural.")
    tag_to(TagConfig(str(tmp_path / "a.txt"), str(tmp_path / "out.jsonl"), language="es"))
    assert lines_of(tmp_path / "out.jsonl")[0]["kinds"] == {"Effusion": "absent"}
