"""Where the copy of a set lies that training maps into memory, and what is said where there is no room for it."""

from __future__ import annotations

import errno
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from damages import without_override
from xlip.batches.mapped import mapped
from xlip.errors import XLIPError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    pq.write_table(pa.table({"study_id": ["a", "b"]}), tmp_path / "part.parquet")
    return tmp_path / "part.parquet"


def test_without_a_cache_that_can_be_written_the_copy_lies_elsewhere(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "home").mkdir(mode=0o555)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "home" / "cache")
    with without_override():
        assert mapped("mine", [file], "make it again")["study_id"][:] == ["a", "b"]
    assert "cannot be written" in caplog.text
    assert list((tmp_path / "home").iterdir()) == []


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES])
def test_a_full_disk_is_not_said_to_be_damage_of_the_set(
    number: int, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")

    def full(*arguments: object, **options: object) -> None:
        try:
            raise OSError(number, "no room", str(tmp_path / "cache" / "x.arrow"))
        except OSError as error:
            raise datasets.exceptions.DatasetGenerationError("An error occurred") from error

    monkeypatch.setattr(datasets, "load_dataset", full)
    with pytest.raises(XLIPError, match=r"cache: cannot write the copy of mine .*no room.*HF_HOME"):
        mapped("mine", [file], "make it again")


def test_damage_of_the_set_is_said_of_the_set(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    file.write_bytes(b"none")
    with pytest.raises(XLIPError, match=r"mine: cannot be read .*; make it again"):
        mapped("mine", [file], "make it again")
