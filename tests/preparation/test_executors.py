"""Whoever makes the parts, on however many machines: the same bytes and records over one ledger."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from xlip.errors import XLIPError
from xlip.images.files import encode
from xlip.preparation import target as target_module
from xlip.preparation.part import JOURNAL
from xlip.preparation.run import Summary, prepare
from xlip.study.parquet import read_studies

PICTURES = True
COUNT = 129
OPTIONS = {"image_column": "path", "report_column": "text", "patient_column": "who"}


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images, reports, one row that is dropped and one that is noticed."""
    root = tmp_path_factory.mktemp("raw")
    rng = np.random.default_rng(0)
    lines = ["path,text,who"]
    for number in range(COUNT):
        (root / f"{number}.png").write_bytes(encode(rng.integers(0, 256, (24, 30)).astype(np.uint8), lossless=True))
        lines.append(f"{number}.png,Small effusion number {number}.,p{number // 3}")
    (root / "t.csv").write_text("\n".join([*lines, "gone.png,x,p1", "1.png,No patient.,", ""]), "utf-8")
    return root / "t.csv"


@pytest.fixture(scope="module")
def whole(table: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What one process makes."""
    out = tmp_path_factory.mktemp("one") / "out"
    prepare("csv", table, out, workers=0, options=OPTIONS)
    return contents(out)


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_processes_make_the_same_bytes(table: Path, whole: dict[str, bytes], tmp_path: Path) -> None:
    prepare("csv", table, tmp_path / "out", workers=2, options=OPTIONS)
    assert contents(tmp_path / "out") == whole
    assert sum(name.endswith(".parquet") for name in whole) == 2


def command(table: Path, out: Path, shard: str) -> list[str]:
    options = [f"--options.{name}={value}" for name, value in OPTIONS.items()]
    base = [sys.executable, "-m", "xlip.cli", "prepare", "csv", "--root", str(table), "--out", str(out)]
    return [*base, "--workers", "0", "--shard", shard, *options]


def test_an_array_that_starts_at_once_makes_the_same_bytes(
    table: Path, whole: dict[str, bytes], tmp_path: Path
) -> None:
    """As the tasks of a SLURM array do: all begin, and may end, at the same moment in one folder."""
    tasks = [
        subprocess.Popen(
            command(table, tmp_path / "out", f"{number}/2"), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        for number in range(2)
    ]
    said = [task.communicate() for task in tasks]
    assert [task.returncode for task in tasks] == [0, 0], said
    assert sum(b"kept 130 studies" in out for out, _ in said) >= 1
    assert contents(tmp_path / "out") == whole


def test_the_example_of_an_array_gives_every_part_to_one_task() -> None:
    text = (Path(__file__).parents[2] / "configs" / "prepare.sbatch").read_text("utf-8")
    assert "#SBATCH --array=0-" in text
    assert '--shard "$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT"' in text


def test_a_task_that_is_still_writing_keeps_its_files(table: Path, tmp_path: Path) -> None:
    """Another task of the array that begins later must not take a half-written part away."""
    prepare("csv", table, tmp_path / "out", workers=0, options=OPTIONS, shard="0/3")
    writing = tmp_path / "out" / ".part-00001-of-00002.parquet.other-7.partial"
    writing.write_bytes(b"half")
    prepare("csv", table, tmp_path / "out", workers=0, options=OPTIONS, shard="2/3")
    assert writing.exists()
    assert prepare("csv", table, tmp_path / "out", workers=0, options=OPTIONS, shard="1/3").complete
    assert not writing.exists()


def test_a_record_says_what_went_in_which_version_and_how_many(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare("csv", table, tmp_path / "out", workers=0, options=OPTIONS, shard="1/2")
    (file,) = (tmp_path / "out" / JOURNAL).iterdir()
    record = json.loads(file.read_bytes())
    assert set(record) == {"key", "version", "rows", "kept", "bytes", "dropped", "noticed"}
    of_rows = [row for row, _, _ in record["noticed"] if row.startswith("t.csv:")]  # the others are of its studies
    assert record["rows"] == record["kept"] + len(record["dropped"]) + len(of_rows)
    assert [reason for _, reason in record["dropped"]] == ["image file gone.png not found"]
    before = file.stat().st_mtime_ns
    prepare("csv", table, tmp_path / "out", workers=0, options=OPTIONS, shard="1/2")
    assert file.stat().st_mtime_ns == before  # not made again
    monkeypatch.setattr(target_module, "VERSION", "another")
    prepare("csv", table, tmp_path / "out", workers=0, options=OPTIONS, shard="1/2")
    assert file.stat().st_mtime_ns > before


def mine(folder: Path, word: str) -> Path:
    """A table of reports alone, which makes four parts."""
    lines = [f"Small effusion number {number}. {word},p{number // 2}" for number in range(200)]
    (folder / "mine.csv").write_text("\n".join(["text,who", *lines, ""]), "utf-8")
    return folder / "mine.csv"


def made(table: Path, out: Path, shard: str) -> Summary:
    options = {"report_column": "text", "patient_column": "who"}
    return prepare("csv", table, out, workers=0, options=options, shard=shard)


def test_parts_of_another_state_of_the_source_are_not_mixed_in(tmp_path: Path) -> None:
    """The ids are the same and the reports are not: the first task's parts are made again before the set is whole."""
    made(mine(tmp_path, "Once."), tmp_path / "out", "0/2")
    table = mine(tmp_path, "Again.")
    second = made(table, tmp_path / "out", "1/2")
    assert (second.complete, second.parts_done, second.parts) == (False, 2, 4)
    assert made(table, tmp_path / "out", "0/2").complete
    assert all("Again." in str(study.report) for study in read_studies(tmp_path / "out"))


def test_a_part_that_was_cut_or_lost_is_made_again(tmp_path: Path) -> None:
    table = mine(tmp_path, "")
    made(table, tmp_path / "out", "0/2")
    first, second = sorted((tmp_path / "out").glob("*.parquet"))
    first.write_bytes(first.read_bytes()[:100])
    second.unlink()
    assert not made(table, tmp_path / "out", "1/2").complete
    assert made(table, tmp_path / "out", "0/2").complete
    assert len(list(read_studies(tmp_path / "out"))) == 200


def test_a_part_that_is_damaged_within_is_named_with_what_to_do(tmp_path: Path) -> None:
    table = mine(tmp_path, "")
    made(table, tmp_path / "out", "0/2")
    first = min((tmp_path / "out").glob("*.parquet"))
    first.write_bytes(b"x" * first.stat().st_size)
    with pytest.raises(XLIPError, match=rf"{first}: cannot be read .*remove this file and run the same command again"):
        made(table, tmp_path / "out", "1/2")
    first.unlink()
    made(table, tmp_path / "out", "0/2")
    assert len(list(read_studies(tmp_path / "out"))) == 200


def test_an_unknown_executor_is_refused(tmp_path: Path) -> None:
    with pytest.raises(XLIPError, match="expected one of processes, ray; got 'dask'"):
        prepare("phantom", tmp_path, tmp_path / "out", executor="dask")


def ray_workers() -> list[int]:
    """Processes that make a part now."""
    import psutil

    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            if process.name().startswith("ray::") and "made" in process.name():
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


@pytest.mark.slow
def test_a_local_ray_makes_the_same_bytes_though_one_worker_is_killed(
    table: Path, whole: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two workers, one of them killed with -9 while it makes a part."""
    ray = pytest.importorskip("ray", reason="ray is not installed: pip install 'xlip[ray]'")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    try:
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    except Exception as error:  # ray raises bare ones where the machine is too busy for its time limits
        pytest.skip(f"a local ray cannot start here: {error}")
    killed: list[int] = []
    stop = threading.Event()

    def kill() -> None:
        while not stop.is_set() and not killed:
            for pid in ray_workers()[:1]:
                os.kill(pid, signal.SIGKILL)
                killed.append(pid)
            time.sleep(0.005)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        prepare("csv", table, tmp_path / "out", workers=2, options=OPTIONS, executor="ray")
    finally:
        stop.set()
        killer.join()
        ray.shutdown()
    assert killed
    assert contents(tmp_path / "out") == whole
    assert len(list(read_studies(tmp_path / "out"))) == COUNT + 1
