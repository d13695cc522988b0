"""`--json`: one JSON object on stdout for every command; off a terminal nothing is coloured, drawn or cut."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from xlip.cli import COMMANDS, main
from xlip.cli.as_json import ENDLESS
from xlip.cli.show import plain_table, print_table


@pytest.fixture
def report(tmp_path: Path) -> str:
    file = tmp_path / "report.txt"
    file.write_text("Large left effusion. No pneumothorax.", "utf-8")
    return str(file)


def test_tables_and_lines_are_one_object_and_people_see_the_lines(report: str, capsys) -> None:
    assert main(["tag", report, "--explain", "--json"]) == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert found["command"] == "tag"
    assert found["code"] == 0
    (table,) = found["tables"]
    assert table["columns"] == ["document", "words", "type", "assertion", "kind", "side", "rule"]
    kinds = {(row[4], row[3], row[5]) for row in table["rows"]}
    assert ("Effusion", "present", "left") in kinds
    assert ("Pneumothorax", "absent", None) in kinds
    assert any("effusion" in line for line in found["lines"])
    assert "effusion" in err


def test_numbers_are_numbers_and_ids_are_not(capsys) -> None:
    from xlip.cli.as_json import run_as_json

    def run() -> int:
        print_table(("id", "value"), [("007", "0.5"), ("a", "3"), ("b", ""), ("c", "1.2e-07"), ("d", "nan")])
        sys.stdout.write("a line\n")
        return 1

    assert run_as_json("compare", run) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["tables"][0]["rows"] == [["007", 0.5], ["a", 3], ["b", None], ["c", 1.2e-07], ["d", "nan"]]
    assert found["lines"] == ["a line"]
    assert found["code"] == 1


@pytest.mark.parametrize("name", ENDLESS)
def test_a_command_without_an_end_says_that_it_takes_no_json(name: str, tmp_path: Path, capsys) -> None:
    words = {"serve": ["--model", "phantom"], "pacs listen": [str(tmp_path)]}[name]
    assert main([*name.split(), *words, "--json"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "takes no --json" in err
    assert name in COMMANDS


def test_a_fault_is_one_line_and_no_object(capsys) -> None:
    assert main(["tag", "nothing.txt", "--json"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("xlip: ")


def test_a_table_off_a_terminal_is_whole_and_plain() -> None:
    long = (
        "a value that no terminal of eighty columns has room for beside a second one of the same length, or nearly so"
    )
    lines = plain_table(("name", "value"), [("short", long), ("[bold]not markup[/bold]", "1")])
    assert lines[1] == f"short                    {long}"
    assert lines[2] == "[bold]not markup[/bold]  1"
    assert len({line.index(part) for line, part in zip(lines, ("value", long, "1"), strict=True)}) == 1


def test_a_terminal_has_lines_and_no_colour_where_none_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("NO_COLOR", "1")
    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    print_table(("a",), [("[red]1[/red]",)], last=("2",))
    shown = screen.getvalue()
    assert "[red]1[/red]" in shown
    assert "─" in shown
    assert not re.search(r"\x1b\[[0-9;]*(3[0-8]|9[0-7])", shown)


@pytest.mark.parametrize("words", [["--help"], ["tag", "--explain", "{report}"]], ids=" ".join)
def test_the_output_of_a_pipe_holds_no_control_characters(words: list[str], report: str) -> None:
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "60"}
    environment.pop("FORCE_COLOR", None)
    arguments = [word.replace("{report}", report) for word in words]
    done = subprocess.run(
        [sys.executable, "-m", "xlip.cli", *arguments], capture_output=True, env=environment, check=True
    )
    assert b"\x1b" not in done.stdout + done.stderr
    assert "…" not in done.stdout.decode()
