from __future__ import annotations

import os
from pathlib import Path
from platform import node

import pytest

from xlip.errors import XLIPError
from xlip.pacs.spool import Spool, megabytes


def test_an_object_is_kept_once_and_a_corrected_one_beside_it(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "new" / "spool")
    assert not spool.has("1.2.3")
    assert spool.put("1.2.3", b"first")
    assert not spool.put("1.2.3", b"first")
    assert spool.put("1.2.3", b"corrected")
    assert not spool.put("1.2.3", b"corrected")
    assert spool.has("1.2.3")
    assert sorted(path.read_bytes() for path in spool.folder.rglob("*.dcm")) == [b"corrected", b"first"]


def test_a_uid_is_no_path(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    for uid in ("../../etc/passwd", "/tmp/x", "a\0b", "\udcff", "x" * 10_000):
        assert spool.put(uid, b"data")
        assert tmp_path / "spool" in spool.path_of(uid).parents
    assert [path.name for path in tmp_path.iterdir()] == ["spool"]


def test_what_a_killed_process_left_is_removed_and_what_a_living_one_writes_is_not(tmp_path: Path) -> None:
    (tmp_path / "ab").mkdir()
    dead = tmp_path / "ab" / f".abc.dcm.{node()}-{2**22 + 7}.partial"
    alive = tmp_path / "ab" / f".abd.dcm.{node()}-{os.getpid()}.partial"
    for path in (dead, alive):
        path.write_bytes(b"half")
    Spool(tmp_path)
    assert not dead.exists()
    assert alive.exists()


def test_the_reserve_counts_as_full(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space left"):
        Spool(tmp_path, reserve=1 << 60).put("1.2", b"x")
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_bound_below_a_megabyte_is_refused() -> None:
    assert megabytes(2, "--x") == 2 << 20
    with pytest.raises(XLIPError, match="--x: expected at least 1"):
        megabytes(0, "--x")
