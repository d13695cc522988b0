"""The command line itself: every command explains itself, and a fault is one line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from xlip.cli import COMMANDS, main


def test_overview_names_every_command_and_pulls_nothing_heavy() -> None:
    code = (
        "import sys; from xlip.cli import main; assert main(['--help']) == 0;"
        "assert not {'torch', 'spacy', 'pyarrow', 'jsonargparse'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert all(f"\n  {name} " in done.stdout for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_explains_arguments_in_words(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([name, "--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert "<class" not in text
    assert f"`xlip {name}`" in text
    if COMMANDS[name].positional:
        positional = text.split("positional arguments:")[1].split("options:")[0]
        assert len(positional.split("(required")[0].split()) > 3


def test_the_words_of_help_are_those_of_the_config(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["audit", "--help"])
    words = " ".join(capsys.readouterr().out.split())
    assert "--out OUT JSON file for everything that was found." in words
    assert "train Prepared training sets: PATH" in words


@pytest.mark.parametrize("name", [name for name, command in COMMANDS.items() if command.positional])
def test_a_missing_argument_is_named_in_one_line(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert COMMANDS[name].positional in error
    assert f"xlip {name} --help" in error


@pytest.mark.parametrize("flag", [["--explain"], ["--explain", "true"], ["--explain=true"]])
def test_a_switch_needs_no_value(flag: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "report.txt"
    file.write_text("Large effusion.", "utf-8")
    for arguments in ([*flag, str(file)], [str(file), *flag]):
        assert main(["tag", *arguments]) == 0
        assert "Effusion" in capsys.readouterr().out
