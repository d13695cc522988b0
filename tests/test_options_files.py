"""Files of options: a fault in one is told with the file's name, a fault in the words without."""

from __future__ import annotations

from pathlib import Path

import pytest

from xlip.cli import main
from xlip.errors import XLIPError
from xlip.options import read_options

FAULTY = [
    "stepps: 3\n",
    "steps: many\n",
    "model: {image_cize: 64}\n",
    "model: vit\n",
    "optim: 3\n",
    "optim:\n",
    "data: [1]\n",
    "data: {pairs: [5]}\n",
    "data: {mix: 3}\n",
    "evaluate: 0\n",
    "augment: 5\n",
    "objectives: [contrastive]\n",
]


def told(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert main(arguments) == 2
    return capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize("text", FAULTY)
@pytest.mark.parametrize("joined", [False, True])
def test_a_fault_in_a_file_of_options_names_the_file(text: str, joined: bool, tmp_path: Path, capsys) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    words = [f"--config={file}"] if joined else ["--config", str(file)]
    assert str(file) in told(["pretrain", *words, "--out", str(tmp_path / "out")], capsys)
    assert str(file) in told(["plan", str(file)], capsys)


def test_a_fault_in_the_words_does_not_accuse_the_file(tmp_path: Path, capsys) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("steps: 3\n")
    said = told(["pretrain", "--config", str(file), "--out", str(tmp_path), "--seed", "often"], capsys)
    assert "seed" in said
    assert str(file) not in said


@pytest.mark.parametrize("text", ["", "words\n", "- a\n", "a: [\n", "<html></html>\n", "3\n", "\x00"])
def test_what_holds_no_option_is_refused_by_every_reader(text: str, tmp_path: Path, capsys) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    with pytest.raises(XLIPError, match="expected a YAML file of options, such as 'a: 1'"):
        read_options(file, "a: 1")
    for words in (["pretrain", "--config", str(file)], ["plan", str(file)], ["ablate", str(file)]):
        assert f"{file}: " in told([*words, "--out", str(tmp_path / "out")], capsys)
