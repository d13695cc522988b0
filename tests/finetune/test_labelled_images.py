from __future__ import annotations

import csv
import errno
import os
from pathlib import Path

import numpy as np
import pytest

import xlip.finetune.images
from xlip.errors import XLIPError
from xlip.finetune.images import Columns, read_labelled
from xlip.images.files import decode, encode
from xlip.images.square import fit
from xlip.phantom import generate
from xlip.study.labels import UNCERTAIN
from xlip.study.parquet import write_studies
from xlip.study.record import Study


def image(index: int) -> bytes:
    return encode(generate(index, size=64).pixels, lossless=True)


@pytest.fixture
def prepared(tmp_path: Path) -> str:
    """Five studies: one a lateral view, one without labels, one broken."""
    rows = [
        Study("a/1", "p1", "a", image(0), labels={"Effusion": 1, "Edema": UNCERTAIN}),
        Study("a/2", "p1", "a", image(1), labels={"Effusion": 0}, split="valid"),
        Study("a/3", "p2", "a", image(2), labels={"Effusion": 0}, view="LATERAL"),
        Study("a/4", "p3", "a", image(3)),
        Study("a/5", "p4", "a", b"no image", labels={"Edema": 1}, split="test"),
    ]
    write_studies(rows, tmp_path / "set.parquet")
    return str(tmp_path / "set.parquet")


def test_labelled_frontal_images_are_decoded_once(prepared: str) -> None:
    found = read_labelled(prepared, 32, "letterbox")
    assert found.study_ids.tolist() == ["a/1", "a/2"]
    assert found.patients.tolist() == ["p1", "p1"]
    assert found.splits.tolist() == ["train", "val"]
    assert found.kinds == ("Edema", "Effusion")
    assert found.codes.tolist() == [[2, 1], [-1, 0]]
    assert (found.pixels[1] == fit(decode(image(1)), 32)).all()
    ((row, reason),) = found.dropped
    assert row == "a/5"
    assert "not" in reason
    assert found.rows("val").tolist() == [1]


def test_pixels_that_exceed_the_memory_go_to_a_file(prepared: str, monkeypatch: pytest.MonkeyPatch) -> None:
    inside = read_labelled(prepared, 32, "letterbox").pixels
    monkeypatch.setattr(xlip.finetune.images, "MEMORY_BYTES", 10)
    outside = read_labelled(prepared, 32, "letterbox").pixels
    assert isinstance(outside.base, np.memmap) or isinstance(outside, np.memmap)
    assert (outside == inside).all()


def test_kinds_can_be_chosen(prepared: str) -> None:
    found = read_labelled(prepared, 32, "letterbox", Columns(kinds="pleural effusion"))
    assert found.kinds == ("Effusion",)
    both = read_labelled(prepared, 32, "letterbox")
    assert both.with_kinds(np.array([False, True])).codes.tolist() == found.codes.tolist()


def test_a_table_needs_no_preparation(tmp_path: Path) -> None:
    for index in range(3):
        (tmp_path / f"{index}.png").write_bytes(image(index))
    with (tmp_path / "my.csv").open("w", newline="") as stream:
        rows = [["file", "who", "part", "Oedema"], ["0.png", "p", "train", 1], ["1.png", "q", "test", 0]]
        csv.writer(stream).writerows([*rows, ["2.png", "r", "val", ""], ["3.png", "s", "train", 1]])
    found = read_labelled(str(tmp_path / "my.csv"), 64, "letterbox", Columns("file", "who", "part"))
    assert found.patients.tolist() == ["csv/p", "csv/q"]
    assert found.splits.tolist() == ["train", "test"]
    assert found.codes.tolist() == [[1], [0]]
    assert found.dropped == (("my.csv:5", "image file 3.png not found"),)


def test_a_set_without_labels_or_without_images_is_refused(tmp_path: Path, prepared: str) -> None:
    write_studies([Study("a/1", "p", "a", image(0))], tmp_path / "bare.parquet")
    with pytest.raises(XLIPError, match=r"bare\.parquet: no label to learn from"):
        read_labelled(str(tmp_path / "bare.parquet"), 64, "letterbox")
    with pytest.raises(XLIPError, match="no label of Hernia to learn from"):
        read_labelled(prepared, 64, "letterbox", Columns(kinds="Hernia"))
    write_studies([Study("a/1", "p", "a", b"nothing", labels={"Edema": 1})], tmp_path / "bad.parquet")
    with pytest.raises(XLIPError, match=r"no labelled image could be read \(1 dropped; first: "):
        read_labelled(str(tmp_path / "bad.parquet"), 64, "letterbox")


def test_a_full_disk_is_named_before_any_image_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where room is not taken first, the first write to mapped memory ends the process by a signal."""

    def full(file: int, start: int, size: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    monkeypatch.setattr(xlip.finetune.images, "MEMORY_BYTES", 10)
    with pytest.raises(XLIPError, match=r"cannot write \(No space left.*GB are needed.*TMPDIR"):
        xlip.finetune.images._pixel_array(3, 64)
