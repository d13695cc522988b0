"""What was guessed, repaired or lost in a study that is kept: counted, named, and an error where `--strict` asks."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from xlip.cli import main
from xlip.errors import XLIPError
from xlip.notices import notice, noticed
from xlip.preparation import part as part_module
from xlip.preparation import pool
from xlip.preparation import run as module
from xlip.preparation.part import Sample
from xlip.preparation.run import prepare
from xlip.sources.source import Candidate, Dropped, Noticed, Row
from xlip.study.record import Study

COUNT = 260


def completed(number: int, study: Study) -> Study:
    """Warns of every tenth, twice with the same words; every fiftieth is dropped after it warned."""
    if number % 10 == 0:
        notice(f"window is too narrow: {number}")
        notice(f"window is too narrow: {number}")
    if number % 50 == 0:
        raise XLIPError("cannot read it")
    return study


def rows() -> Iterator[Row]:
    for number in range(COUNT):
        if number % 100 == 7:
            yield Noticed(f"t.csv:{number}", f"age is not believable: {number}", "t.csv")
        study = Study(f"a/{number}", f"p{number}", "a", image_path=f"{number}.png", report="Clear.")
        yield Candidate(study, complete=partial(completed, number))
    yield Dropped("t.csv:999", "bad")


@pytest.fixture(autouse=True)
def source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "load_source", lambda name: lambda root: rows())


def warned(out: Path) -> list[list[str]]:
    with (out / "warnings.csv").open(newline="", encoding="utf-8") as stream:
        return list(csv.reader(stream))


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_notices_of_sources_and_of_workers_are_named_and_counted(tmp_path: Path) -> None:
    summary = prepare("a", tmp_path, tmp_path / "out", workers=0)
    head, *found = warned(tmp_path / "out")
    assert head == ["row", "file", "reason"]
    ages = [[f"t.csv:{n}", "t.csv", f"age is not believable: {n}"] for n in (7, 107, 207)]
    windows = [[f"a/{n}", f"{n}.png", f"window is too narrow: {n}"] for n in range(0, COUNT, 10) if n % 50]
    assert sorted(found) == sorted(ages + windows)  # none twice, none of a row that was dropped
    assert summary.noticed == {"age is not believable": 3, "window is too narrow": len(windows)}
    assert summary.kept + summary.dropped.total() == COUNT + 1
    card = (tmp_path / "out" / "README.md").read_text("utf-8")
    assert "| age is not believable | 3 | t.csv:7; t.csv:107; t.csv:207 |" in card.partition("## Warnings")[2]
    stats = json.loads((tmp_path / "out" / "stats.json").read_bytes())
    assert stats["noticed"] == dict(summary.noticed)


def test_workers_resumed_runs_and_shards_give_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare("a", tmp_path, tmp_path / "whole", workers=0)
    whole = contents(tmp_path / "whole")
    for number in (1, 0):
        prepare("a", tmp_path, tmp_path / "shards", workers=0, shard=f"{number}/2")
    assert contents(tmp_path / "shards") == whole
    left = [2]

    def dying(*arguments: Any) -> int:
        if not left[0]:
            raise RuntimeError("power cut")
        left[0] -= 1
        return part_module.run_unit(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(pool, "run_unit", dying)
        with pytest.raises(RuntimeError):
            prepare("a", tmp_path, tmp_path / "resumed", workers=0)
    prepare("a", tmp_path, tmp_path / "resumed", workers=2)
    assert contents(tmp_path / "resumed") == whole


def test_strict_is_one_error_that_counts_the_kinds_and_names_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = ["prepare", "phantom", "--root", str(tmp_path), "--out", str(tmp_path / "out"), "--workers", "0"]
    assert main([*base, "--strict"]) == 2
    said = capsys.readouterr().err
    assert "got 23 (20 x window is too narrow; 3 x age is not believable)" in said
    assert str(tmp_path / ".out.partial" / "warnings.csv") in said
    assert len(warned(tmp_path / ".out.partial")) == 24
    assert not (tmp_path / "out").exists()
    done = {file.name: file.stat().st_mtime_ns for file in (tmp_path / ".out.partial").glob("*.parquet")}
    assert main(base) == 0  # goes on where the strict run stopped
    assert {file.name: file.stat().st_mtime_ns for file in (tmp_path / "out").glob("*.parquet")} == done
    printed = capsys.readouterr().out
    assert "warning 20: window is too narrow" in printed
    assert f"every warning: {tmp_path / 'out'}/warnings.csv" in printed


def test_strict_passes_where_nothing_was_repaired(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "load_source", lambda name: lambda root: iter([*rows()][1:2]))
    assert prepare("a", tmp_path, tmp_path / "out", workers=0, strict=True).kept == 1
    assert warned(tmp_path / "out") == [["row", "file", "reason"]]


def test_a_notice_is_heard_once_and_only_where_somebody_collects() -> None:
    notice("nobody hears it")
    with noticed() as found:
        notice("one")
        with noticed() as inner:
            notice("two")
        notice("one")
    assert (found, inner) == (["one"], ["two"])


def test_by_sample_all_pictures_are_looked_at_once_writing_was_found() -> None:
    sample = Sample("sample")
    before = [sample.next() for _ in range(200)]
    assert before[:4] == ["full"] * 4
    assert 0 < before[4:].count("full") < 10
    assert set(before[4:]) == {"full", "decoded"}
    notices = ["burned-in text: 2 lines of writing in the picture"]
    sample.take(notices)
    assert len(notices) == 2
    assert {sample.next() for _ in range(70)} == {"full"}
    assert {Sample("full").next(), Sample("no").next()} == {"full", "no"}
