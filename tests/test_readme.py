"""What the README says works: its commands run, or are parsed where they take minutes; its files are there."""

from __future__ import annotations

import csv
import os
import re
import shlex
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest

from doc_blocks import SHELL, pages
from doc_blocks import blocks as page_blocks
from tiny import tiny_model
from xlip import cli
from xlip.cli.parse import parse
from xlip.images.files import encode
from xlip.phantom import generate

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
SETUP = (["python3", "-m", "venv"], [".venv/bin/pip", "install"], [".", ".venv/bin/activate"])
"""How lines of the shell blocks may begin that only change the machine."""
TINY = """
  image_size: 64, width: 32, depth: 1, heads: 2, text_width: 32, text_depth: 1, text_heads: 2, embed_dim: 16,
  decoder_width: 32, decoder_layers: 1, decoder_heads: 2, vocab_size: 400, max_tokens: 48
"""
FAST = {
    "prepare": ["--workers", "0"],
    "pretrain": ["--model", f"{{{TINY}}}", "--data.mix", "{pairs: 4, images: 4, texts: 4}", "--steps", "2"],
    "zeroshot": ["--replicates", "10"],
    "embed": ["--workers", "0"],
    "finetune": ["--replicates", "10", "--recipe.most_steps", "2", "--recipe.least_steps", "1"],
}
"""What is added to a command so that it takes seconds."""


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def commands() -> list[list[str]]:
    text = "\n".join(blocks("sh")).replace("\\\n", " ")
    return [words for line in text.splitlines() if (words := shlex.split(line, comments=True))]


DEMO = [words[1:] for words in commands() if words[0] == ".venv/bin/xlip"]
XLIP = [words[1:] for words in commands() if words[0] == "xlip"]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that the README's reader has: a table, images, a config."""
    with (tmp_path / "my.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["path", "report", "patient", "Pneumonia", "Effusion"])
        for index in range(40):
            phantom = generate(index, size=64)
            (tmp_path / f"{index}.png").write_bytes(encode(phantom.pixels))
            labels = [phantom.labels[kind] for kind in ("Consolidation", "Effusion")]
            writer.writerow([f"{index}.png", phantom.report, index, *labels])
    for name, index in (("chest.png", 3), ("other.png", 4)):
        (tmp_path / name).write_bytes((tmp_path / f"{index}.png").read_bytes())
    (tmp_path / "mine.yaml").write_text(blocks("yaml")[0])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_two_commands_come_first() -> None:
    assert commands()[:2] == [["make", "demo"], ["make", "test"]]


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_every_command_is_known(words: list[str], machine: Path) -> None:
    if words[0] == "make":
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
        done = subprocess.run(["make", "-n", *words[1:]], cwd=ROOT, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    elif words[0] in ("xlip", ".venv/bin/xlip"):
        parse(words[1:])
    else:
        assert any(words[: len(start)] == start for start in SETUP)


def test_the_commands_on_ones_own_data_run_one_after_another(machine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert {words[0] for words in XLIP} == {"prepare", "pretrain", "zeroshot", "finetune", "embed", "search"}
    for words in XLIP:
        quiet = ["--workers", "0"] if words[0] == "pretrain" else []
        assert cli.main([*words, *FAST.get(words[0], []), *quiet]) == 0, capsys.readouterr().err
    shown = capsys.readouterr().out
    assert "kept 40 studies (40 images, 40 reports, 40 pairs) of 40 patients" in shown
    assert "runs/mine: 2 steps" in shown
    for page in ("results/mine/report.html", "results/mine/metrics.json", "runs/tuned/report.html"):
        assert (machine / page).stat().st_size > 500


def test_every_command_stands_on_the_readme_or_on_a_page() -> None:
    """The pages' commands run in tests/docs, or in the test that tests/docs/test_blocks.py names for a page."""
    text = "\n".join(block.text for page in pages() for block in page_blocks(page) if block.language in SHELL)
    shown = {name for name in cli.COMMANDS if f"xlip {name} " in f"{text} ".replace("\n", " ")}
    assert shown == set(cli.COMMANDS)


def test_two_commands_lead_from_the_demo_to_a_search_in_the_browser(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    sizes = {"--pairs": 16, "--images": 48, "--texts": 16, "--test": 40, "--steps": 1}
    assert cli.main(["demo", "--out", "demo", *(str(word) for pair in sizes.items() for word in pair)]) == 0
    assert [words[0] for words in DEMO] == ["embed", "search"]
    for words in DEMO:
        assert cli.main([*words, *FAST.get(words[0], [])]) == 0, capsys.readouterr().err
    page = Path("demo/search.html").read_text("utf-8")
    assert page.count("<li>") == 20
    assert page.count("<img ") >= 20
    assert "left pleural effusion" in page
    assert len(re.findall(r"phantom/0/\d+</span>", page)) == 20


def test_the_python_block_runs_and_is_short(machine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (block,) = blocks("python")
    assert len([line for line in block.splitlines() if line]) <= 8
    tiny_model().save_pretrained(machine / "runs" / "mine")
    capsys.readouterr()
    exec(compile(block, "README.md", "exec"), {})
    shares, area = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"\[0\.\d+, 0\.\d+\]", shares)
    assert area == "nan" or 0 <= float(area) <= 1  # fewer than ten effusions: no figure


@pytest.mark.parametrize("name", ["README.md", "CHANGELOG.md", "CONTRIBUTING.md"])
def test_every_file_that_a_page_links_to_is_there(name: str) -> None:
    text = (ROOT / name).read_text("utf-8")
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert (ROOT / target).is_file(), target
    for target in re.findall(r"`((?:configs|docs|src)/[^`]+)`", text):
        assert (ROOT / target).exists() or target == "docs/log.md", target


def test_the_picture_is_a_drawing_with_a_title() -> None:
    root = ElementTree.parse(ROOT / "docs" / "dataflow.svg").getroot()
    assert root.tag.endswith("svg")
    assert root[0].tag.endswith("title")


def test_the_changelog_starts_with_what_is_unreleased_and_contributing_fits_a_screen() -> None:
    assert (ROOT / "CHANGELOG.md").read_text("utf-8").startswith("# Changelog\n\n## Unreleased\n")
    rules, _, plan = (ROOT / "CONTRIBUTING.md").read_text("utf-8").partition("## The map")
    assert len(rules.splitlines()) <= 40
    assert len(plan.splitlines()) <= 44
