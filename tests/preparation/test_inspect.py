from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xlip.cli import main
from xlip.errors import XLIPError
from xlip.images.files import encode
from xlip.preparation.inspect import chosen, half_blocks, page
from xlip.study.labels import UNCERTAIN
from xlip.study.parquet import write_studies
from xlip.study.record import Box, Entity, Study

REPORT = "Small <effusion> on the left. No mass."
ENTITIES = (Entity(7, 15, "finding", "present", "Effusion"), Entity(33, 37, "finding", "absent", "Mass"))


@pytest.fixture
def table(tmp_path: Path) -> Path:
    image = encode(np.tile(np.arange(0, 240, 4, dtype=np.uint8), (40, 1)))
    studies = [
        Study(
            f"a/{number}", "a/p", "a", image=image, report=REPORT, entities=ENTITIES,
            labels={"Effusion": 1, "Mass": UNCERTAIN}, boxes=(Box("Effusion", 0.25, 0.5, 0.1, 0.2),),
            sections={"history": "cough <b>"}, width=80, height=60,
            pixel_spacing=(0.2, 0.25), tags=("one",), age=50.0, sex="F",
        )
        for number in range(5)
    ]  # fmt: skip
    studies.append(Study("a/text", "a/p", "a", report="Clear."))
    write_studies(studies, tmp_path / "t.parquet")
    return tmp_path / "t.parquet"


def test_page_shows_image_boxes_labels_sections_and_entities_and_escapes(table: Path) -> None:
    html = page(table, chosen(table, "", 10))
    assert html.count("<article>") == 6
    assert html.count("data:image/jpeg;base64,") == 5
    assert "left:25.0%;top:50.0%" in html
    assert "cough &lt;b&gt;" in html
    assert html.count('title="finding, present: Effusion">effusion</mark>&gt;') == 5
    assert html.count('title="finding, absent: Mass">mass</mark>') == 5
    assert "<b>" not in html
    assert '<span class="uncertain">Mass uncertain</span>' in html
    assert "80 x 60, 0.2 x 0.25 mm" in html
    assert "http" not in html


def test_a_study_is_chosen_by_the_end_of_its_id(table: Path) -> None:
    assert [study.study_id for study in chosen(table, "/3", 5)] == ["a/3"]
    assert len(chosen(table, "", 2)) == 2
    with pytest.raises(XLIPError, match="'/nine'"):
        chosen(table, "/nine", 5)
    with pytest.raises(XLIPError, match="limit"):
        chosen(table, "", 0)


def test_terminal_image_has_the_asked_width_and_the_right_grays(table: Path) -> None:
    (study,) = chosen(table, "/0", 1)
    lines = half_blocks(study, 30).plain.splitlines()
    assert {len(line) for line in lines} == {30}
    assert len(lines) == 10
    first = half_blocks(study, 30).spans[0].style
    assert str(first).startswith("rgb(")


def test_a_terminal_gets_the_image(table: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes this for a terminal
    assert main(["inspect", str(table), "--study", "a/2", "--width", "20"]) == 0
    assert "▀" in capsys.readouterr().out


def test_command_prints_one_study_and_writes_a_page(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inspect", str(table), "--study", "a/2", "--width", "20"]) == 0
    printed = capsys.readouterr().out
    assert "a/2" in printed
    assert "Effusion present" in printed
    assert printed.isascii()  # no half blocks and no frames in a pipe
    assert "    effusion: finding, present, Effusion\n" in printed
    assert f"  report: {REPORT}\n" in printed
    assert main(["inspect", str(table), "--out", str(tmp_path / "deep" / "page.html"), "--limit", "3"]) == 0
    assert (tmp_path / "deep" / "page.html").read_text("utf-8").count("<article>") == 3
