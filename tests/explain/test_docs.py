"""Every command of docs/howto/explain.md, one after another, and its Python."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest

from xlip import cli
from xlip.images.files import encode
from xlip.phantom import generate
from xlip.preparation.run import prepare

TEXT = (Path(__file__).parents[2] / "docs" / "howto" / "explain.md").read_text("utf-8")
COMMANDS = [
    shlex.split(line) for block in re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL) for line in block.splitlines()
]


def test_every_command_of_the_page_runs(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(checkpoint, "runs/mine")
    prepare("phantom", Path(), Path("data/mine"), workers=0, options={"count": 24, "size": 64})
    Path("films").mkdir()
    for index in range(2):
        Path(f"films/{index}.png").write_bytes(encode(generate(index, size=64).pixels))
    Path("chest.png").write_bytes(encode(generate(5, size=64).pixels))
    Path("report.txt").write_text("Left pleural effusion. No pneumothorax.")
    assert [words[1] for words in COMMANDS] == [*["explain"] * 4, "abstain", "triage"]
    for words in COMMANDS:
        more = ["--side", "64"] if words[1] != "abstain" else []
        assert cli.main([*words[1:], *more]) == 0
    for name in ("kinds", "text", "report", "own"):
        assert (Path("maps") / name / "index.html").is_file()
        assert (Path("maps") / name / "boxes.csv").is_file()
    assert len(Path("worklist.csv").read_text("utf-8").splitlines()) == 3
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    exec(code, {})
