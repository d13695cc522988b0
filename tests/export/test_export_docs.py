"""What docs/howto/export.md says works: its commands run one after another, and its Python runs where torch is not."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from exports import Exported
from xlip import cli
from xlip.cli.parse import parse
from xlip.export.run import PARITY, ExportConfig
from xlip.images.files import encode
from xlip.phantom import generate
from xlip.runtime.export_facts import ExportFacts

DOCS = (Path(__file__).parents[2] / "docs" / "howto" / "export.md").read_text("utf-8")
FAST = {"zeroshot": ["--replicates", "5"]}


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", DOCS, re.MULTILINE | re.DOTALL)


def commands() -> list[list[str]]:
    words = [shlex.split(line) for block in blocks("sh") for line in block.splitlines()]
    assert {line[0] for line in words} == {"xlip", "pip"}
    return [line[1:] for line in words if line[0] == "xlip"]


@pytest.fixture
def machine(exported: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The reader's folder; its exported models are there, since tracing them takes seconds."""
    for name, source in (
        ("runs/mine", "checkpoint"),
        ("runs/tuned", "tuned"),
        ("exported/mine", "folder"),
        ("exported/tuned", "tuned_graphs"),
        ("data/mine", "phantoms"),
    ):
        shutil.copytree(getattr(exported, source), tmp_path / name)
    for name in ("chest.png", "other.dcm"):  # what a file is, its content says
        (tmp_path / name).write_bytes(encode(generate(3, size=64).pixels))
    (tmp_path / "my.csv").write_text("path\nchest.png\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_commands_run_one_after_another(machine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = ["zeroshot", "--model", "runs/mine", "--data", "data/mine", "--out", "results/mine", "--replicates", "5"]
    assert cli.main(results) == 0
    for words in commands():
        if words[0] == "export":
            assert isinstance(parse(words)[1], ExportConfig)  # the fixture ran them
            continue
        assert cli.main([*words, *FAST.get(words[0], [])]) == 0, capsys.readouterr().err
    assert {file.name for file in (machine / "exported/tuned").iterdir()} == {"classifier.onnx", "export.json", PARITY}
    assert (machine / "scores.csv").read_text().startswith("image,")
    assert "Macro AUROC" in (machine / "hub/mine/README.md").read_text()


def test_the_python_block_needs_no_torch(machine: Path) -> None:
    (block,) = blocks("python")
    code = f"{block}\nimport sys\nassert 'torch' not in sys.modules\nprint(cosines.shape, maps.ndim)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "(2, 2) 4\n"


def test_every_fact_of_a_folder_is_explained() -> None:
    for name in ExportFacts.__dataclass_fields__:
        assert f"`{name}`" in DOCS, name
