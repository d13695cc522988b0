"""`xlip completion`: the script is one that the shell takes, and it knows every command and its options."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from xlip.cli import COMMANDS, completion, main
from xlip.cli.completion import SHELLS, script


@pytest.fixture(scope="module")
def bash() -> str:
    return script("bash", COMMANDS)


def completed(bash: str, *words: str) -> list[str]:
    """What bash offers behind these words, the last of which is being typed."""
    line = f"COMP_WORDS=({' '.join(repr(word) for word in words)}); COMP_CWORD={len(words) - 1}; _xlip"
    code = f'{bash}\n{line}\nprintf "%s\\n" "${{COMPREPLY[@]}}"'
    done = subprocess.run(["bash", "--norc", "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout.split()


def test_bash_completes_commands_second_words_and_options(bash: str) -> None:
    assert set(completed(bash, "xlip", "ze")) == {"zeroshot"}
    assert set(completed(bash, "xlip", "")) >= {name.split()[0] for name in COMMANDS}
    assert set(completed(bash, "xlip", "pacs", "")) == {
        name.split()[1] for name in COMMANDS if name.startswith("pacs ")
    }
    assert "--image_column" in completed(bash, "xlip", "zeroshot", "--im")
    assert set(completed(bash, "xlip", "pacs", "send", "--to")) == {"--to"}
    assert completed(bash, "xlip", "zeroshot", "file") == []


@pytest.mark.parametrize("shell", SHELLS)
def test_every_command_is_in_every_script(shell: str, bash: str, monkeypatch: pytest.MonkeyPatch) -> None:
    few = {name: ["--help", "--json"] for name in COMMANDS}
    monkeypatch.setattr(completion, "options_of", lambda commands: few)
    text = script(shell, COMMANDS)
    assert all(name.split()[-1] in text for name in COMMANDS)
    program = shutil.which(shell)
    if program:
        subprocess.run(
            [program, "-n", "-c", text] if shell != "fish" else [program, "-n"], input=text, text=True, check=True
        )


def test_an_unknown_shell_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "powershell"]) == 2
    assert "expected one of bash, zsh, fish" in capsys.readouterr().err
