from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from xlip import files
from xlip.errors import XLIPError
from xlip.files import (
    brought_back,
    check_target,
    meant_by,
    reading,
    take_place,
    whole_file,
    whole_folder,
    write_whole,
    writing,
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_takes_the_place_of_the_old_one_at_the_end(tmp_path: Path) -> None:
    target = tmp_path / "a.bin"
    write_whole(target, b"old")
    with whole_file(target) as stream:
        stream.write(b"new")
        stream.flush()
        assert target.read_bytes() == b"old"
    assert target.read_bytes() == b"new"
    assert names(tmp_path) == ["a.bin"]


@pytest.mark.parametrize("earlier", [False, True])
def test_a_failed_write_leaves_what_was_there(tmp_path: Path, earlier: bool) -> None:
    if earlier:
        write_whole(tmp_path / "a", b"old")

    def fail() -> None:
        with whole_file(tmp_path / "a") as stream:
            stream.write(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert names(tmp_path) == (["a"] if earlier else [])
    assert not earlier or (tmp_path / "a").read_bytes() == b"old"


def test_content_is_on_the_disk_before_the_name_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    sync, move = os.fsync, Path.replace
    monkeypatch.setattr(files.os, "fsync", lambda number: (events.append("sync"), sync(number)))
    monkeypatch.setattr(Path, "replace", lambda self, target: (events.append("move"), move(self, target))[1])
    write_whole(tmp_path / "a", b"x")
    assert events == ["sync", "move"]


def test_urls_are_written_at_once() -> None:
    from upath import UPath

    path = UPath("memory://files/a.bin")
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as stream:
        stream.write(b"abc")
        assert not path.exists()
    assert path.read_bytes() == b"abc"


def make(folder: Path, name: str) -> Path:
    folder.mkdir()
    (folder / name).write_text(name)
    return folder


@pytest.mark.parametrize("left_over", [False, True])
def test_a_folder_takes_the_place_of_another(tmp_path: Path, left_over: bool) -> None:
    make(tmp_path / "set", "old")
    if left_over:
        make(tmp_path / ".set.old", "older")  # of a run that was killed between two renames
    with whole_folder(tmp_path / "set") as partial:
        (partial / "new").write_text("new")
        assert names(tmp_path / "set") == ["old"]
    assert (names(tmp_path), names(tmp_path / "set")) == (["set"], ["new"])


@pytest.mark.parametrize("earlier", [False, True])
@pytest.mark.parametrize("fault", [RuntimeError, KeyboardInterrupt])
def test_a_folder_that_fails_leaves_what_was_there(tmp_path: Path, earlier: bool, fault: type[BaseException]) -> None:
    if earlier:
        make(tmp_path / "set", "old")

    def fail() -> None:
        with whole_folder(tmp_path / "set") as partial:
            (partial / "new").write_text("new")
            raise fault

    with pytest.raises(fault):
        fail()
    assert names(tmp_path) == (["set"] if earlier else [])
    assert not earlier or names(tmp_path / "set") == ["old"]


def test_the_old_folder_comes_back_when_the_new_one_cannot_be_moved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path / "set", "old")
    new = make(tmp_path / "new", "new")
    rename: Callable[[Path, Path], Path] = Path.rename

    def fails(self: Path, target: Path) -> Path:
        if self == new:
            raise OSError(28, "No space left on device")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fails)
    with pytest.raises(OSError, match="No space"):
        take_place(new, tmp_path / "set")
    assert (names(tmp_path), names(tmp_path / "set")) == (["new", "set"], ["old"])


def test_a_failed_write_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "none" / "a"
    with (
        pytest.raises(XLIPError, match=r"none/a: cannot write \(No such file or directory\); make room"),
        writing(path),
    ):
        write_whole(path, b"")


@pytest.mark.parametrize(("mask", "file", "folder"), [(0o022, 0o644, 0o755), (0o027, 0o640, 0o750), (0, 0o666, 0o777)])
def test_modes_follow_the_umask_whatever_a_library_sets(mask: int, file: int, folder: int, tmp_path: Path) -> None:
    before = os.umask(mask)
    try:
        with whole_folder(tmp_path / "a") as partial:
            (partial / "inside").mkdir(mode=0o700)
            (partial / "inside" / "secret").write_text("x")
            (partial / "inside" / "secret").chmod(0o600)
    finally:
        os.umask(before)
    made = [tmp_path / "a", tmp_path / "a" / "inside", tmp_path / "a" / "inside" / "secret"]
    assert [path.stat().st_mode & 0o777 for path in made] == [folder, folder, file]


def test_a_death_between_two_renames_is_undone(tmp_path: Path) -> None:
    (tmp_path / ".a.old").mkdir()
    assert brought_back(tmp_path / "a").is_dir()
    assert names(tmp_path) == ["a"]
    assert brought_back(tmp_path / "a").is_dir()


@pytest.mark.parametrize("fault", [KeyError("x"), OSError(5, "Input/output error"), Exception("a\nb"), RuntimeError()])
def test_whatever_a_library_raises_over_a_file_is_one_line(fault: Exception) -> None:
    with (
        pytest.raises(XLIPError, match=r"^a\.json: cannot be read \(.+\); do this$") as caught,
        reading("a.json", "do this"),
    ):
        raise fault
    assert "\n" not in str(caught.value)
    with pytest.raises(XLIPError, match=r"^mine$"), reading("a.json"):
        raise XLIPError("mine")


def test_a_place_that_cannot_be_written_is_refused_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    check_target(tmp_path / "new" / "run", folder=True)
    check_target(tmp_path / "file")
    for path, folder in ((tmp_path / "file", True), (tmp_path, False), (tmp_path / "file" / "run", True)):
        with pytest.raises(XLIPError, match=r"choose another --out$"):
            check_target(path, folder=folder)
    assert not (tmp_path / "new").exists()


def test_a_partial_name_says_what_is_meant(tmp_path: Path) -> None:
    with whole_file(tmp_path / "a.b.json"):
        (inside,) = tmp_path.iterdir()
        assert meant_by(str(inside)) == str(tmp_path / "a.b.json")
    with whole_folder(tmp_path / "run.1") as folder:
        assert meant_by(str(folder / "x.png")) == str(tmp_path / "run.1")
    assert meant_by(str(tmp_path / ".cache" / "x")) == str(tmp_path / ".cache" / "x")
