"""Every file below a folder comes once, whatever links lead to it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from PIL import Image

from xlip.cli import main
from xlip.phantom import generate
from xlip.sources.source import Dropped
from xlip.sources.tree import NOT_UTF_8, TWICE, tree


def test_links_are_followed_once_and_circles_end(tmp_path: Path) -> None:
    root, apart = tmp_path / "root", tmp_path / "apart"
    (root / "b").mkdir(parents=True)
    (apart / "deep").mkdir(parents=True)
    for file in (root / "a", root / ".hidden", root / "b" / "c", apart / "deep" / "d"):
        file.write_text("x")
    (root / "linked").symlink_to(apart, target_is_directory=True)
    (root / "again").symlink_to(apart, target_is_directory=True)
    (root / "b" / "up").symlink_to(root, target_is_directory=True)
    (root / "b" / "file").symlink_to(apart / "deep" / "d")
    (root / "gone").symlink_to(tmp_path / "nothing")
    (root / "self").symlink_to(root / "self")
    os.mkfifo(root / "pipe")
    found = list(tree(root))
    files = [place[0] for place in found if isinstance(place, tuple)]
    assert sorted(files) == [".hidden", "a", "again/deep/d", "b/c", "b/file"]
    drops = {place.row: place.reason for place in found if isinstance(place, Dropped)}
    assert drops["b/up"] == drops["linked"] == TWICE
    assert drops["gone"] == drops["self"] == "link that leads nowhere"
    assert drops["pipe"] == "neither a file nor a folder"
    assert list(tree(root)) == found


def test_a_tree_deeper_than_pythons_stack_is_read(tmp_path: Path) -> None:
    folder = tmp_path
    for _ in range(400):
        folder = folder / "d"
    folder.mkdir(parents=True)
    (folder / "file").write_text("x")
    assert [place[0] for place in tree(tmp_path) if isinstance(place, tuple)] == ["d/" * 400 + "file"]


def test_a_name_in_another_encoding_is_named_and_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Old archives have names in Latin-1; neither tables nor Parquet can hold their bytes as text."""
    films = tmp_path / "films"
    for number, name in enumerate((b"ordner\xe4/x.png", b"r\xf6ntgen.png", "röntgen.png".encode(), b"a.png")):
        file = Path(os.fsdecode(os.fsencode(films) + b"/" + name))
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(generate(number, size=64).pixels).save(file)
    drops = [place for place in tree(films) if isinstance(place, Dropped)]
    assert [place.row for place in drops] == [r"ordner\udce4", r"r\udcf6ntgen.png"]
    assert main(["prepare", "folder", "--root", str(films), "--workers", "0", "--out", str(tmp_path / "set")]) == 0
    assert f"dropped 2: {NOT_UTF_8}" in capsys.readouterr().out
    assert r"r\udcf6ntgen.png" in (tmp_path / "set" / "quarantine.csv").read_text("utf-8")
