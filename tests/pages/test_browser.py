"""Every page that the project makes, opened in a browser."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from browser import look, needs_browser
from evaluations import result
from tiny import tiny_model
from xlip import cli
from xlip.evaluate.cases import open_cases
from xlip.evaluate.retrieval import Retrieval
from xlip.pages.write import ReportConfig, add_pages, pages_of_folder
from xlip.preparation.run import prepare
from xlip.results.folder import write_folder

pytestmark = needs_browser


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared set."""
    folder = tmp_path_factory.mktemp("phantoms") / "set"
    prepare("phantom", Path(), folder, workers=0, options={"count": 60, "size": 64})
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved model."""
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    tiny_model().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def evaluation(phantoms: Path, run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of `xlip zeroshot` with two prompt sets."""
    folder = tmp_path_factory.mktemp("evaluations") / "zeroshot"
    options = ["--model", str(run), "--data", str(phantoms), "--out", str(folder), "--replicates", "20", "--no-cache"]
    assert cli.main(["zeroshot", *options, "--prompts", "xlip,chexzero"]) == 0
    return folder


def test_the_report_of_a_zero_shot_evaluation(phantoms: Path, run: Path, evaluation: Path, tmp_path: Path) -> None:
    options = ["--model", str(run), "--data", str(phantoms), "--out", str(tmp_path / "out")]
    assert cli.main(["report", str(evaluation), *options]) == 0
    seen = look(tmp_path / "out" / "report.html", tmp_path)
    # Bars, prompt spread, ROC, PR, reliability, confusion, and one picture of cases per kind with both classes.
    kinds = len(re.findall(r"(?m)^found: |found: ", seen.text))
    assert kinds >= 5
    assert len(seen.widths) in (8 + kinds, 9 + kinds)  # with groups, one more
    assert all(width > 100 for width in seen.widths)
    assert (seen.unnamed, seen.broken, seen.overflow, seen.console) == (0, 0, 0, [])
    for words in ("not a medical device", "Best and worst cases", "chexzero@", "oracle", "another split: nih/official"):
        assert words in seen.text


@pytest.mark.parametrize("width", [400, 1100])
def test_a_report_with_validation_fits_a_phone_and_a_desk(width: int, tmp_path: Path) -> None:
    add_pages(result(validation=True), tmp_path)
    seen = look(tmp_path / "report.html", tmp_path, width)
    assert len(seen.widths) == 8
    assert all(seen.widths)
    assert (seen.unnamed, seen.broken, seen.overflow, seen.console) == (0, 0, 0, [])
    assert "Rule val: the threshold with the greatest F1 on the validation split" in seen.text


def test_the_report_of_a_retrieval(phantoms: Path, tmp_path: Path) -> None:
    cases = open_cases(str(phantoms), require="report")
    found = Retrieval(replicates=20, cache=False).run(tiny_model().eval(), cases)
    write_folder(found, tmp_path / "retrieval")
    pages_of_folder(ReportConfig(evaluation=str(tmp_path / "retrieval"), out=str(tmp_path / "out")))
    seen = look(tmp_path / "out" / "report.html", tmp_path)
    assert seen.text.count("Query: ") == 6
    assert "image to text, recall, 1" in seen.text
    assert (seen.widths, seen.broken, seen.overflow, seen.console) == ([], 0, 0, [])


def test_the_contact_sheet_of_inspect(phantoms: Path, tmp_path: Path) -> None:
    assert cli.main(["inspect", str(phantoms), "--out", str(tmp_path / "sheet.html"), "--limit", "6"]) == 0
    seen = look(tmp_path / "sheet.html", tmp_path)
    assert len(seen.widths) == 6
    assert all(seen.widths)
    assert (seen.unnamed, seen.overflow, seen.console) == (0, 0, [])


@pytest.mark.usefixtures("pictures")
def test_the_pictures_of_a_data_card(tmp_path: Path) -> None:
    card = tmp_path / "set"
    prepare("phantom", Path(), card, workers=0, options={"count": 20, "size": 64})
    names = re.findall(r"!\[.*?\]\((.*?)\)", (card / "README.md").read_text("utf-8"))
    images = "".join(f'<img alt="" src="{(card / name).as_uri()}">' for name in names)
    (tmp_path / "card.html").write_text(f'<link rel="icon" href="data:,">{images}')
    seen = look(tmp_path / "card.html", tmp_path)
    assert len(seen.widths) == 2
    assert all(seen.widths)
    assert seen.console == []


def test_the_page_of_the_demo(tmp_path: Path) -> None:
    """Its drawing and its page, with a training of a single step."""
    sizes = {"--pairs": 16, "--images": 48, "--texts": 16, "--test": 30, "--steps": 1}
    assert cli.main(["demo", "--out", str(tmp_path / "demo"), *(str(v) for pair in sizes.items() for v in pair)]) == 0
    seen = look(tmp_path / "demo" / "index.html", tmp_path)
    assert len(seen.widths) == 3
    assert all(width > 100 for width in seen.widths)
    assert (seen.unnamed, seen.overflow, seen.console) == (0, 0, [])


def test_the_probe_notices_a_picture_that_is_none_and_a_script_that_fails(tmp_path: Path) -> None:
    body = '<img src="data:image/png;base64,AAAA"><a href="#no">x</a><script>undefinedName()</script>'
    (tmp_path / "bad.html").write_text(f'<html><body><div style="width:3000px">wide</div>{body}</body></html>')
    seen = look(tmp_path / "bad.html", tmp_path)
    assert (seen.widths, seen.unnamed, seen.broken) == ([0], 1, 1)
    assert seen.overflow > 1000
    assert any("undefinedName" in line for line in seen.console)
