"""Every command's help ends with examples. What is cheap runs, in a reader's order; the rest is parsed."""

from __future__ import annotations

import csv
import shlex
import shutil
from collections.abc import Iterable
from pathlib import Path

import pytest

from xlip.cli import COMMANDS, main
from xlip.cli.examples import EXAMPLES, EXIT_CODES
from xlip.cli.parse import parse
from xlip.images.files import encode
from xlip.phantom import generate
from xlip.preparation.run import prepare

RUN = (
    *(
        "prepare",
        "audit",
        "inspect",
        "tag",
        "zeroshot",
        "report",
        "evaluate",
        "compare",
        "explain",
        "triage",
        "abstain",
    ),
    *("embed", "search", "index", "save", "doctor", "completion"),
)
"""Those that run here, in the order of their dependence."""
FAST = {
    "zeroshot": ["--replicates", "20"],
    "evaluate": ["--replicates", "20"],
    "compare": ["--replicates", "20"],
    "triage": ["--no_maps"],
    "explain": ["--side", "64"],
}
SUITE = """
suite: mine
data:
  mine: {split: train, kinds: [Effusion, Cardiomegaly]}  # forty phantoms may lack a kind
entries:
  zeroshot: {evaluator: zeroshot, data: mine}
"""
LINES = [(name, line) for name, lines in EXAMPLES.items() for line in lines]


def words_of(line: str) -> list[str]:
    """The words that xlip gets of a line of a shell."""
    inner = line.removeprefix('eval "$(').removesuffix(')"').partition(" > ")[0]
    first, *words = shlex.split(inner)
    assert first == "xlip"
    return words


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text("steps: 2\n")
    return tmp_path


def test_every_command_has_an_example_and_no_other_has() -> None:
    assert set(EXAMPLES) == set(COMMANDS)
    assert all(EXAMPLES.values())


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_ends_with_the_examples_line_by_line(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([*name.split(), "--help"])
    shown = capsys.readouterr().out
    assert all(f"\n  {line}\n" in shown for line in EXAMPLES[name])


@pytest.mark.parametrize(("name", "line"), LINES, ids=[line for _, line in LINES])
def test_every_example_is_understood(name: str, line: str, place: Path) -> None:
    command, config = parse([word for word in words_of(line) if word != "--json"])  # which `main` takes away
    assert command is COMMANDS[name]
    assert type(config).__name__ == command.config.rpartition(".")[2]


def prepared_place(folder: Path) -> None:
    """What the reader of the examples has."""
    rows = [["path", "report", "patient", "Pneumonia"]]
    (folder / "films").mkdir()
    for number in range(4):
        phantom = generate(number, size=128)
        (folder / f"{number}.png").write_bytes(encode(phantom.pixels))
        rows.append([f"{number}.png", phantom.report, str(number), str(number % 2)])
    with (folder / "my.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows(rows)
    for name in ("chest.png", "films/one.png"):
        shutil.copy(folder / "3.png", folder / name)
    (folder / "reports.jsonl").write_text('{"id": "1", "report": "No effusion."}\n')
    (folder / "report.txt").write_text("Small left effusion.")
    (folder / "suite.yaml").write_text(SUITE)
    prepare("phantom", Path(), folder / "data" / "other", workers=0, options={"count": 8, "size": 128, "start": 900})


def run_examples(names: Iterable[str], place: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """What the examples of these commands print, one after another."""
    prepared_place(place)
    for name in names:
        for line in EXAMPLES[name]:
            words = words_of(line)
            if {"runs/mine", "archive"} & set(words) or (name == "prepare" and "csv" in words):
                continue  # a model or an archive of the reader's own
            if name == "compare":
                shutil.copytree("results/phantom", "results/others")
            assert main([*words, *FAST.get(name, [])]) == 0, f"{line}\n{capsys.readouterr().err}"
    return capsys.readouterr().out


def test_the_examples_about_data_run_one_after_another(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "Effusion" in run_examples(("prepare", "audit", "inspect", "tag"), place, capsys)
    assert (place / "audit.json").is_file()


@pytest.mark.slow
def test_the_cheap_examples_run_one_after_another(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "AUROC" in run_examples(RUN, place, capsys)
    for file in (
        "audit.json",
        "studies.html",
        "maps/index.html",
        "worklist.csv",
        "like.html",
        "results/page/report.html",
    ):
        assert (place / file).stat().st_size > 50, file


def test_the_exit_codes_are_documented_as_they_are() -> None:
    page = (Path(__file__).parents[2] / "docs" / "reference" / "command_line.md").read_text("utf-8")
    for code, meaning in EXIT_CODES.items():
        assert f"| {code} | {meaning} |" in page
