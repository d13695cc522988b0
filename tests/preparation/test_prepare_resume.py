from __future__ import annotations

import csv
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xlip.errors import XLIPError
from xlip.images.files import encode
from xlip.preparation import part as part_module
from xlip.preparation import pool
from xlip.preparation import run as module
from xlip.preparation import target as target_module
from xlip.preparation.part import InterruptedRunError
from xlip.preparation.plan import parts_of
from xlip.preparation.run import prepare
from xlip.sources.source import Candidate
from xlip.study.parquet import parquet_files, read_studies
from xlip.study.record import Study

COUNT = 300
COMMAND = [sys.executable, "-m", "xlip.cli", "prepare", "phantom", "--options.size", "64"]


def command(out: Path, workers: int, count: int = COUNT) -> list[str]:
    return [*COMMAND, "--options.count", str(count), "--out", str(out), "--workers", str(workers)]


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def texts(count: int, patch: pytest.MonkeyPatch) -> None:
    rows = [Candidate(Study(f"a/{n}", f"p{n}", "a", report="Clear.")) for n in range(count)]
    patch.setattr(module, "load_source", lambda name: lambda root: iter(rows))


@pytest.mark.usefixtures("pictures")
@pytest.mark.parametrize("workers", [2, pytest.param(0, marks=pytest.mark.slow)])
def test_kill_9_at_any_moment_loses_and_repeats_nothing(tmp_path: Path, workers: int) -> None:
    rng = random.Random(workers)
    kills = 0
    for _ in range(2):
        process = subprocess.Popen(command(tmp_path / "out", workers), stdout=subprocess.DEVNULL)
        partial = tmp_path / ".out.partial" / "journal"
        while process.poll() is None and not any(partial.glob("*.json")):
            time.sleep(0.02)
        time.sleep(rng.uniform(0, 0.4))
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.wait()
        assert (tmp_path / "out").exists() == (process.returncode == 0)
    assert kills >= 1
    before = {file.name: file.stat().st_mtime_ns for file in (tmp_path / ".out.partial").glob("*.parquet")}
    journal = {file.stem for file in (tmp_path / ".out.partial" / "journal").glob("*.json")}
    subprocess.run(command(tmp_path / "out", workers), check=True, stdout=subprocess.DEVNULL)
    ids = [study.study_id for study in read_studies(tmp_path / "out")]
    assert ids == [f"phantom/0/{n}" for n in range(COUNT)]
    for name in journal:  # what was finished was not made again
        assert (tmp_path / "out" / f"{name}.parquet").stat().st_mtime_ns == before[f"{name}.parquet"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]
    prepare("phantom", tmp_path, tmp_path / "whole", workers=0, options={"count": COUNT, "size": 64})
    whole = contents(tmp_path / "whole")
    for name, data in contents(tmp_path / "out").items():
        if name.endswith((".parquet", ".png", ".csv")):
            assert data == whole[name], name


def test_workers_leave_when_their_parent_is_killed(tmp_path: Path) -> None:
    process = subprocess.Popen(command(tmp_path / "out", 2, 4000), stdout=subprocess.DEVNULL)
    journal = tmp_path / ".out.partial" / "journal"
    while process.poll() is None and not any(journal.glob("*.json")):
        time.sleep(0.02)
    assert process.poll() is None
    process.kill()
    process.wait()
    time.sleep(1.0)
    done = sorted(journal.glob("*"))
    time.sleep(1.0)
    assert sorted(journal.glob("*")) == done


def test_a_run_with_other_settings_starts_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts(130, monkeypatch)
    stop_after(1, monkeypatch)
    with pytest.raises(RuntimeError):
        prepare("a", tmp_path, tmp_path / "out", workers=0)
    monkeypatch.setattr(pool, "run_unit", part_module.run_unit)
    assert list((tmp_path / ".out.partial" / "journal").iterdir())
    prepare("a", tmp_path, tmp_path / "out", workers=0, holdout=0.5)
    assert {study.split for study in read_studies(tmp_path / "out")} == {"train", "test"}


def test_a_set_begun_with_another_tagger_is_not_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts(130, monkeypatch)
    stop_after(1, monkeypatch)
    with pytest.raises(RuntimeError):
        prepare("a", tmp_path, tmp_path / "out", workers=0)
    monkeypatch.setattr(pool, "run_unit", part_module.run_unit)
    newer = "xlip-rules-en@next"
    monkeypatch.setattr(module, "TAGGER", newer)
    begun = {file.name: file.stat().st_ino for file in (tmp_path / ".out.partial" / "journal").iterdir()}
    prepare("a", tmp_path, tmp_path / "out", workers=0)
    assert begun
    assert len(list(read_studies(tmp_path / "out"))) == 130
    assert json.loads((tmp_path / "out" / "stats.json").read_text("utf-8"))["settings"]["tagger"] == newer


def test_a_run_that_dies_in_its_last_moments_repeats_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts(130, monkeypatch)

    def dies(*paths: Path) -> None:
        raise RuntimeError("power cut")

    with monkeypatch.context() as patch:
        patch.setattr(target_module, "take_place", dies)
        with pytest.raises(RuntimeError):
            prepare("a", tmp_path, tmp_path / "out", workers=0)
    assert not (tmp_path / "out").exists()
    with monkeypatch.context() as patch:
        stop_after(0, patch)  # no part may be made again
        patch.setattr(target_module, "remove_tree", dies)
        with pytest.raises(RuntimeError):
            prepare("a", tmp_path, tmp_path / "out", workers=0)
    assert (tmp_path / "out" / "journal").is_dir()
    assert len(list(read_studies(tmp_path / "out"))) == 130
    assert prepare("a", tmp_path, tmp_path / "out", workers=0).kept == 130
    assert not (tmp_path / "out" / "journal").exists()


def stop_after(parts: int, patch: pytest.MonkeyPatch) -> None:
    """A crash of the whole run after some parts."""
    left = [parts]

    def run(*arguments: Any) -> int:
        if not left[0]:
            raise RuntimeError("power cut")
        left[0] -= 1
        return part_module.run_unit(*arguments)

    patch.setattr(pool, "run_unit", run)


def test_an_unfinished_set_is_not_read_as_a_finished_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts(130, monkeypatch)
    summary = prepare("a", tmp_path, tmp_path / "out", workers=0, shard="0/2")
    assert (summary.complete, summary.parts_done) == (False, 1)
    with pytest.raises(XLIPError, match="was not finished"):
        parquet_files(tmp_path / "out")


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_machines_share_a_set_and_the_last_writes_the_card(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, order: tuple[int, ...]
) -> None:
    texts(1100, monkeypatch)
    for number in order:
        summary = prepare("a", tmp_path, tmp_path / "out", workers=0, shard=f"{number}/3")
        assert summary.complete == (number == order[-1])
    assert [s.study_id for s in read_studies(tmp_path / "out")] == [f"a/{n}" for n in range(1100)]
    assert json.loads((tmp_path / "out" / "stats.json").read_bytes())["kept"] == 1100
    assert len(parquet_files(tmp_path / "out")) == parts_of(1100) == 16
    with pytest.raises(XLIPError, match="already holds"):
        prepare("a", tmp_path, tmp_path / "out", workers=0, shard="0/3")


@pytest.mark.parametrize("shard", ["2/2", "1", "a/b", "-1/2", "1/0"])
def test_a_wrong_shard_is_refused(tmp_path: Path, shard: str) -> None:
    with pytest.raises(XLIPError, match="such as 0/4"):
        prepare("phantom", tmp_path, tmp_path / "out", shard=shard)


def test_urls_are_read_and_written(tmp_path: Path) -> None:
    from upath import UPath

    root = UPath("memory://raw")
    root.mkdir(parents=True, exist_ok=True)
    (root / "table.csv").write_text("text,Mass\nClear lungs.,0\nLarge mass.,1\n")
    options = {"report_column": "text"}
    summary = prepare("csv", "memory://raw/table.csv", "memory://made/set", workers=0, options=options)
    assert summary.kept == 2
    names = {file.name for file in UPath("memory://made/set").iterdir()}
    assert {"part-00000-of-00001.parquet", "stats.json", "README.md", "quarantine.csv", "warnings.csv"} <= names
    assert not {"plan.json", "journal"} & names
    data = UPath("memory://made/set/part-00000-of-00001.parquet").read_bytes()
    (tmp_path / "copy.parquet").write_bytes(data)
    assert [study.report for study in read_studies(tmp_path / "copy.parquet")] == ["Clear lungs.", "Large mass."]
    with pytest.raises(XLIPError, match="already holds"):
        prepare("csv", "memory://raw/table.csv", "memory://made/set", workers=0, options=options)


def test_a_full_disk_stops_with_advice_and_the_run_goes_on_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts(130, monkeypatch)
    calls = []

    def full(studies: Any, stream: Any) -> int:
        calls.append(1)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        return write(studies, stream)

    write = part_module.write_stream
    monkeypatch.setattr(part_module, "write_stream", full)
    with pytest.raises(InterruptedRunError, match=r"No space left on device.*goes on where it stopped"):
        prepare("a", tmp_path, tmp_path / "out", workers=0)
    assert len(list((tmp_path / ".out.partial").glob("*.parquet"))) == 1
    assert not list((tmp_path / ".out.partial").glob(".*.partial"))
    prepare("a", tmp_path, tmp_path / "out", workers=0)
    assert len(calls) == 3  # the first part was not made again
    assert [s.study_id for s in read_studies(tmp_path / "out")] == [f"a/{n}" for n in range(130)]


@pytest.mark.skipif(os.geteuid() == 0 and not Path("/proc").is_dir(), reason="needs a folder that cannot be written")
def test_a_read_only_target_is_named(tmp_path: Path) -> None:
    target = Path("/proc/xlip/out") if Path("/proc").is_dir() else tmp_path / "locked" / "out"
    if not Path("/proc").is_dir():
        (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(XLIPError, match=r"out: cannot write"):
        prepare("phantom", tmp_path, target, workers=0, options={"count": 1, "size": 64})


def image_table(tmp_path: Path, count: int) -> Path:
    raw = tmp_path / "raw"
    raw.mkdir()
    for number in range(count):
        (raw / f"{number}.png").write_bytes(encode(np.full((8, 8), number, np.uint8), lossless=True))
    (raw / "t.csv").write_text("file\n" + "".join(f"{n}.png\n" for n in range(count)))
    return raw / "t.csv"


def test_a_vanished_source_stops_the_run_instead_of_dropping_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = image_table(tmp_path, 4)
    load = part_module.load_for_storage

    def vanishing(source: Path, *arguments: Any, **options: Any) -> Any:
        if source.name == "2.png" and table.parent.exists():
            table.parent.rename(tmp_path / "elsewhere")
        return load(source, *arguments, **options)

    monkeypatch.setattr(part_module, "load_for_storage", vanishing)
    options = {"image_column": "file"}
    with pytest.raises(InterruptedRunError, match="vanished"):
        prepare("csv", table, tmp_path / "out", workers=0, options=options)
    monkeypatch.undo()
    (tmp_path / "elsewhere").rename(table.parent)
    assert prepare("csv", table, tmp_path / "out", workers=0, options=options).kept == 4


def deadly(study: Study) -> Study:
    """Stands for a decoder written in C that crashes."""
    if study.study_id in ("a/3", "a/70"):
        os.kill(os.getpid(), signal.SIGSEGV)
    if study.study_id == "a/5":
        time.sleep(60)
    return study


def test_a_row_that_kills_or_hangs_its_process_is_quarantined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = encode(np.zeros((8, 8), np.uint8))
    rows = [Candidate(Study(f"a/{n}", "p", "a", image=image), complete=deadly) for n in range(130)]
    monkeypatch.setattr(module, "load_source", lambda name: lambda root: iter(rows))
    monkeypatch.setattr(pool, "STALL_SECONDS", 2.0)
    summary = prepare("a", tmp_path, tmp_path / "out", workers=2)
    with (tmp_path / "out" / "quarantine.csv").open(newline="") as stream:
        reasons = {row["row"]: row["reason"] for row in csv.DictReader(stream)}
    assert set(reasons) == {"a/3", "a/5", "a/70"}
    assert "killed the process" in reasons["a/3"]
    assert "more than 2 s" in reasons["a/5"]
    assert summary.kept == 127


def says_what_is_loaded(study: Study) -> Study:
    """A report that says whether this process has loaded torch, after its tagger was."""
    assert "spacy" in sys.modules
    return study._replace(report="Torch." if sys.modules.get("torch") else "Clear.")


def test_a_worker_does_without_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [Candidate(Study("a/1", "p", "a"), complete=says_what_is_loaded)]
    monkeypatch.setattr(module, "load_source", lambda name: lambda root: iter(rows))
    prepare("a", tmp_path, tmp_path / "out", workers=1)
    assert [study.report for study in read_studies(tmp_path / "out")] == ["Clear."]


def test_two_runs_do_not_write_the_same_set(tmp_path: Path) -> None:
    process = subprocess.Popen(command(tmp_path / "out", 0, 3000), stdout=subprocess.DEVNULL)
    while not (tmp_path / ".out.partial" / "plan.json").exists():
        time.sleep(0.02)
    with pytest.raises(XLIPError, match="another `xlip prepare`"):
        prepare("phantom", tmp_path, tmp_path / "out", workers=0, options={"count": 3, "size": 64})
    process.kill()
    process.wait()


def test_progress_reaches_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts(200, monkeypatch)
    seen: list[tuple[int, int]] = []
    prepare("a", tmp_path, tmp_path / "out", workers=0, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (200, 200)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
