"""Commands on data need no package of training, an exported model needs the core alone: `xlip[data]` is enough."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

BLOCKED = """
import sys
from xlip.cli import DATA, TRAINING, main

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name.partition(".")[0])

BLOCKED = {blocked}
sys.meta_path.insert(0, Absent())
"""
PREPARE = ["prepare", "phantom", "--out", "set", "--options.count", "4", "--options.size", "64", "--workers", "0"]
ON_DATA = [PREPARE, ["inspect", "set"], ["tag", "set", "--out", "tags.parquet"], ["audit", "set", "--workers", "0"]]


def without(blocked: str, code: str, folder: Path) -> str:
    program = BLOCKED.replace("{blocked}", blocked) + code
    done = subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_data_is_prepared_shown_tagged_and_audited_without_the_packages_of_training(tmp_path: Path) -> None:
    said = without("TRAINING", f"for words in {ON_DATA!r}: assert main(words) == 0, words", tmp_path)
    assert "kept 4 studies" in said
    assert (tmp_path / "tags.parquet").is_file()


def test_an_exported_model_is_used_without_the_packages_of_data(tmp_path: Path) -> None:
    code = "from xlip import ExportedModel\nprint(ExportedModel.open('phantom').encode_texts(['effusion']).shape)"
    assert "(1, 128)" in without("TRAINING | DATA", code, tmp_path)


@pytest.mark.parametrize(
    ("blocked", "words", "extra"),
    [("TRAINING | DATA", PREPARE, "data"), ("TRAINING", ["zeroshot", "--help"], "train")],
    ids=["data", "train"],
)
def test_a_missing_package_is_named_with_the_smallest_extra(
    blocked: str, words: list[str], extra: str, tmp_path: Path
) -> None:
    assert f"pip install 'xlip[{extra}]'" in without(blocked, f"assert main({words!r}) == 2", tmp_path)
