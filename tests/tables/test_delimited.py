from __future__ import annotations

import csv
import io
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xlip.tables.delimited import DELIMITERS, read_delimited, unique_names
from xlip.tables.row import Fault, Row


def read(text: str, required: tuple[str, ...] = ()) -> tuple[list[Row], list[Fault]]:
    rows = list(read_delimited(iter(text.splitlines(keepends=True)), required))[1:]
    return [row for row in rows if isinstance(row, Row)], [row for row in rows if isinstance(row, Fault)]


def cells(text: str) -> list[list[str]]:
    return [list(row.cells.values()) for row in read(text)[0]]


@pytest.mark.parametrize("delimiter", DELIMITERS)
def test_every_delimiter_is_found(delimiter: str) -> None:
    lines = [["path", "report", "patient"], ["a.png", "Clear, normal; | fine", "1"], ["b.png", 'He said "no".', "2"]]
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator="\n").writerows(lines)
    rows, faults = read(text.getvalue())
    assert faults == []
    assert [list(row.cells.values()) for row in rows] == lines[1:]


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("\n\n;;\na;b\n1;2\n", [["1", "2"]]),  # blank first lines
        ("sep=;\na;b\n1,5;2\n", [["1,5", "2"]]),  # Excel's note to itself
        ("a,b\r1,2\r", [["1", "2"]]),  # line ends of old Macs
        ("a,b\r\n1,2\r\n\r\n3,4\r\n", [["1", "2"], ["3", "4"]]),  # blank lines between
        ('a, b\n1, "x, y"\n', [["1", "x, y"]]),  # a space behind the comma
        ("a,b\n1,2,,\n", [["1", "2"]]),  # empty cells behind the header's
        ("a,b,,\n1,2\n", [["1", "2"]]),  # nameless columns without cells
        (',a\n0,"line\n\nline"\n', [["line\n\nline"]]),  # a column without a name; paragraphs in a cell
        ('a,b\n1,Heart 5" wide\n', [["1", 'Heart 5" wide']]),  # a mark inside a cell that is not quoted
    ],
)
def test_harmless_habits_are_read_rightly(text: str, rows: list[list[str]]) -> None:
    assert (cells(text), read(text)[1]) == (rows, [])


@pytest.mark.parametrize("row", ["a.png,Heart normal, no pneumothorax,1", "a.png,Clear", "a.png"])
def test_rows_with_more_or_fewer_cells_are_refused_with_line_and_remedy(row: str) -> None:
    rows, (fault,) = read(f"path,report,patient\n{row}\nb.png,ok,2\n")
    assert [list(one.cells.values()) for one in rows] == [["b.png", "ok", "2"]]
    assert (fault.line, fault.lost) == (2, True)
    assert "expected 3 cells" in fault.reason
    assert "quotation marks" in fault.reason
    assert "pneumothorax" not in fault.reason  # a shifted cell may hold a name


def test_two_stray_quotation_marks_do_not_swallow_the_rows_between_them() -> None:
    """As Python's own reader does: 60 rows become 37 without an error."""
    lines = [f"img/{n}.png,{'Clear.' if n % 2 else 'Effusion.'},{n}" for n in range(60)]
    lines[20] = 'img/20.png,"Effusion.,20'
    lines[43] = 'img/43.png,Clear.",43'
    text = "path,report,patient\n" + "\n".join(lines) + "\n"
    assert sum(1 for _ in csv.DictReader(io.StringIO(text))) == 37
    rows, faults = read(text)
    assert [row.cells["patient"] for row in rows] == [str(n) for n in range(60)]
    assert rows[20].cells["report"] == "Effusion."
    assert [(fault.line, fault.lost) for fault in faults] == [(22, False)]


@pytest.mark.parametrize(
    ("record", "text"),
    [
        ('1,"He said "clear, fine" lungs",0', 'He said "clear, fine" lungs'),
        ('1,"Clear,0', "Clear"),
        ('1,"Findings:\nHe said "clear" lungs.\n\nEnd, of it",0', 'Findings:\nHe said "clear" lungs.\n\nEnd, of it'),
    ],
)
def test_a_row_with_stray_marks_is_repaired_where_one_reading_fits(record: str, text: str) -> None:
    rows, faults = read(f"id,report,Mass\n{record}\n2,ok,1\n")
    assert [list(row.cells.values()) for row in rows] == [["1", text, "0"], ["2", "ok", "1"]]
    assert [(fault.line, fault.lost) for fault in faults] == [(2, False)]


def test_a_row_that_no_reading_fits_is_refused_and_the_next_is_read() -> None:
    rows, faults = read('id,report,Mass\n1,"Clear\n2,ok,1\n3,"fine",0\n')
    assert [row.cells["id"] for row in rows] == ["2", "3"]
    assert [(fault.line, fault.lost) for fault in faults] == [(2, True)]


def test_an_open_mark_in_the_last_row_reads_that_row() -> None:
    rows, faults = read('id,report\n1,ok\n2,"fine\n')
    assert [row.cells["report"] for row in rows] == ["ok", "fine"]
    assert len(faults) == 1


def test_names_that_repeat_are_told_apart() -> None:
    assert unique_names(["Mass", "b", " Mass", "", "Mass", ""]) == ["Mass", "b", "Mass.1", "", "Mass.2", ""]
    assert cells("Mass,Mass\n1,0\n") == [["1", "0"]]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.lists(st.text(st.sampled_from('ab1 ,;|\t".'), max_size=8), min_size=3, max_size=3).filter(
            lambda row: any(cell.strip() for cell in row)
        ),
        min_size=1,
        max_size=8,
    ),
    st.sampled_from(DELIMITERS),
)
def test_what_the_csv_module_writes_is_read_back(table: list[list[str]], delimiter: str) -> None:
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, quoting=csv.QUOTE_ALL).writerows([["x", "y", "z"], *table])
    rows = list(read_delimited(iter(text.getvalue().splitlines(keepends=True)), ("x", "y", "z")))
    assert [list(row.cells.values()) for row in rows[1:] if isinstance(row, Row)] == table
    assert not [row for row in rows if isinstance(row, Fault)]


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 10**9), st.integers(1, 3))
def test_stray_marks_anywhere_lose_no_row_in_silence(seed: int, marks: int) -> None:
    """Every line of the file is a row that is read, or is named by a fault."""
    rng = random.Random(seed)
    texts = ["Clear lungs.", "Small effusion, left.", "Heart is normal", "No change, no mass, ok."]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([f"img/{n:03}.png", rng.choice(texts), f"p{n}"] for n in range(12))
    body = text.getvalue()
    for _ in range(marks):
        place = rng.randrange(len(body))
        body = body[:place] + '"' + body[place:]
    rows, faults = read("path,report,patient\n" + body)
    assert {row.line for row in rows} | {fault.line for fault in faults} == set(range(2, 14))
    assert not any("\n" in cell for row in rows for cell in row.cells.values())
