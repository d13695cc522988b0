"""Every command of docs/howto/search.md runs; the pages that it writes are read in a browser."""

from __future__ import annotations

import csv
import re
import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from browser import look, needs_browser
from tiny import CONFIG, tiny_processor
from xlip.cli import main
from xlip.images.files import encode
from xlip.phantom import generate
from xlip.search.ask import Found
from xlip.search.page import Pictures, write_page
from xlip.search.store import Hit
from xlip.train.build import build_model

PAGE = (Path(__file__).parents[2] / "docs" / "howto" / "search.md").read_text("utf-8")
COMMANDS = [line for block in re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the commands of the page have run."""
    folder = tmp_path_factory.mktemp("docs")
    patch = pytest.MonkeyPatch()
    patch.chdir(folder)
    with (folder / "mine.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["path", "report", "view", "age", "Effusion"])
        for index in range(20):
            phantom = generate(index, size=64)
            Path(f"{index}.png").write_bytes(encode(phantom.pixels))
            writer.writerow([f"{index}.png", phantom.report, "PA", 50 + index, phantom.labels["Effusion"]])
    Path("chest.png").write_bytes(encode(generate(3, size=64).pixels))
    words = "prepare csv --root mine.csv --out data/mine --workers 0 --options.image_column path"
    words += " --options.report_column report --options.view_column view --options.age_column age"
    assert main(shlex.split(words)) == 0
    build_model(replace(CONFIG, local=True), tiny_processor(), 0).save_pretrained("runs/mine")
    for line in COMMANDS:
        assert line.startswith("xlip ")
        quick = ["--workers", "0"] if line.startswith("xlip embed") else []
        assert main([*shlex.split(line)[1:], *quick]) == 0, line
    exec(compile(re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)[0], "docs/howto/search.md", "exec"), {})
    yield folder
    patch.undo()


def test_the_commands_of_the_page_run_one_after_another(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (place / "hits.csv").open(newline="") as stream:
        hits = list(csv.DictReader(stream))
    assert len(hits) == 5
    assert all(hit["view"] == "PA" and float(hit["age"]) > 60 for hit in hits)
    assert [float(hit["score"]) for hit in hits] == sorted((float(hit["score"]) for hit in hits), reverse=True)
    capsys.readouterr()
    assert main(["index", str(place / "index"), "--ids"]) == 0
    ids = capsys.readouterr().out.split()
    assert "csv/mine:3" not in ids
    assert len(ids) >= 17
    for name in ("index.json", "parts"):
        assert (place / "index" / name).exists()


@needs_browser
@pytest.mark.parametrize(("name", "width"), [("alike.html", 1100), ("reports.html", 420), ("effusions.html", 420)])
def test_the_pages_show_their_pictures_on_desk_and_phone(name: str, width: int, place: Path, tmp_path: Path) -> None:
    page = place / name
    text = page.read_text("utf-8")
    # The probe of the tests is a script, which the page itself forbids.
    assert "default-src 'none'" in text
    page.with_name("open.html").write_text(re.sub(r"<meta http-equiv[^>]*>", "", text), "utf-8")
    seen = look(page.with_name("open.html"), tmp_path, width)
    assert len(seen.widths) >= 16
    assert all(seen.widths)
    assert (seen.unnamed, seen.broken, seen.overflow, seen.console) == (0, 0, 0, [])
    assert "not for diagnosis" in seen.text
    if name != "alike.html":
        assert "coloured from 0" in seen.text


def test_nothing_in_ids_columns_or_reports_becomes_part_of_the_page(tmp_path: Path) -> None:
    bad = "<script>alert(1)</script>"
    hit = Hit(0, bad, 0.5, {"report": f"{bad}\n\ud800", f"x{bad}": bad, "Effusion": 1, "Edema": 0, "patient_id": "p7"})
    write_page(tmp_path / "p.html", Found([hit], "images", bad), [Pictures(note=bad)], {"where": bad}, b"")
    text = (tmp_path / "p.html").read_text("utf-8")
    assert "<script" not in text
    assert "present" in text
    assert "Edema" not in text
    assert "p7" not in text
    write_page(tmp_path / "none.html", Found([], "images", "x"), [], {}, b"")
    assert "Nothing in the index fulfils the condition" in (tmp_path / "none.html").read_text("utf-8")
