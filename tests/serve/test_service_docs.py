"""What docs/howto/serve.md says: its commands are understood, its requests are answered, its tables are whole."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from served import Served

from xlip.cli.parse import parse
from xlip.serve.problems import KINDS

TEXT = (Path(__file__).parents[2] / "docs" / "howto" / "serve.md").read_text("utf-8")
COMMANDS = [
    shlex.split(line)
    for block in re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)
    for line in block.splitlines()
    if line
]


@pytest.mark.parametrize("words", [words for words in COMMANDS if words[0] == "xlip"], ids=" ".join)
def test_a_command_is_understood(words: list[str]) -> None:
    parse(words[1:])


def test_every_request_is_answered(running: Served, dicom: bytes, tmp_path: Path) -> None:
    (tmp_path / "chest.dcm").write_bytes(dicom)
    requests = [words for words in COMMANDS if words[0] == "curl"]
    assert len(requests) == 3
    for words in requests:
        words = [word.replace("http://127.0.0.1:8000", running.url) for word in words]
        more = ["--silent", "--noproxy", "*", "--output", "/dev/null", "--write-out", "%{http_code}"]
        done = subprocess.run([*words, *more], cwd=tmp_path, capture_output=True, text=True)
        assert done.stdout == "200", (words, done)


def test_every_fault_is_listed_with_its_status() -> None:
    rows = dict(re.findall(r"`([a-z-]+)` \| (\d{3})", TEXT))
    assert {name: int(status) for name, status in rows.items()} == {name: status for name, (status, _) in KINDS.items()}


def test_every_route_is_listed(serving: Callable[..., Any]) -> None:
    paths = set(serving().get("/openapi.json").json()["paths"]) | {"/openapi.json"}
    assert paths == set(
        re.findall(r"`(?:GET |POST )?(/[a-z0-9/.]+)`", TEXT.partition("## Faults")[0].partition("## Questions")[2])
    )
