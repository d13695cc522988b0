"""The commands of docs/tutorials/pacs_to_training.md run, in their order, on an invented archive."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from bad_archives import damaged
from xlip.cli import main
from xlip.cli.parse import parse

PAGE = (Path(__file__).parents[2] / "docs" / "tutorials" / "pacs_to_training.md").read_text("utf-8")
COMMANDS = [line for block in re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]
FAST = {"prepare": ["--workers", "0"]}
KEY = "5a" * 32
EXPECTED = {"--strict": 2}
"""Exit codes of commands that find something; the others end with 0."""


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
def test_the_commands_of_the_page_run_on_an_archive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    archive = damaged(tmp_path, ("report_missing", "window_of_eight_bits", "a_ct_slice"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text(re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)[0])
    for line in COMMANDS:
        words = shlex.split(line)
        if words[0] != "xlip":
            subprocess.run(line, shell=True, check=True, cwd=tmp_path)
            (tmp_path / "hospital.key").write_text(KEY)  # so that the same patients are held out in every run
        elif words[1] == "pretrain":
            parse(words[1:])  # minutes
            assert yaml.safe_load((tmp_path / "mine.yaml").read_text())
        else:
            code = next((code for word, code in EXPECTED.items() if word in words), 0)
            words = ["0.5" if word == "0.2" else word for word in words]  # six patients are few
            assert main([*words[1:], *FAST.get(words[1], [])]) == code, line
    assert archive.root == tmp_path / "archive"
    for name in re.findall(r"^\| `([^`]+)`", PAGE, re.MULTILINE):
        assert (tmp_path / name).is_file(), name
    assert (tmp_path / "hospital.key").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "set.lookup.csv").stat().st_mode & 0o777 == 0o600
    assert "image without report" in (tmp_path / "set" / "conflicts.csv").read_text("utf-8")
    assert "window does not fit the pixels" in (tmp_path / "set" / "warnings.csv").read_text("utf-8")
    assert "2 x" in (said := capsys.readouterr().err) or "1 x" in said
