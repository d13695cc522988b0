"""Rows of a set by number, from row groups that are read once and kept within bounds, here and behind a URL."""

from __future__ import annotations

import os
import pickle
import time
from collections import Counter
from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from damages import without_override
from xlip.batches import group_cache, study_table
from xlip.batches.group_cache import GroupCache, run_cache
from xlip.batches.row_groups import RowGroups
from xlip.batches.study_table import SetConfig, StudyTable, epoch_order
from xlip.errors import XLIPError
from xlip.study.parquet import read_studies, write_studies
from xlip.study.record import Study

PICTURE = 3000
GROUP = 7
COLUMNS = ("study_id", "image.bytes", "report")


def studies(name: str, count: int) -> list[Study]:
    rng = np.random.default_rng(count)
    return [
        Study(f"{name}{number}", "p", "s", image=rng.bytes(PICTURE), report=f"Number {number}.", labels={"Effusion": 1})
        for number in range(count)
    ]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two files with row groups of seven rows, one of which is not full."""
    monkeypatch.setattr("xlip.study.parquet.ROWS_PER_GROUP", GROUP)
    (tmp_path / "set").mkdir()
    for name, count in (("a", 16), ("b", 30)):
        write_studies(studies(name, count), tmp_path / "set" / f"{name}.parquet")
    return tmp_path / "set"


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Counter:
    """How often each row group was read from its file."""
    count: Counter = Counter()
    read = RowGroups._read
    monkeypatch.setattr(RowGroups, "_read", lambda self, group: count.update([group]) or read(self, group))
    return count


def test_rows_are_those_of_the_files_and_each_group_is_read_once(folder: Path, tmp_path: Path, reads: Counter) -> None:
    cache = GroupCache(tmp_path / "cache")
    table = RowGroups(str(folder), COLUMNS, cache)
    expected = [*read_studies(folder)]
    for other in (table, pickle.loads(pickle.dumps(table))):
        for number in np.random.default_rng(0).permutation(len(expected)).tolist():
            row, study = other.row(number), expected[number]
            assert set(row) == {"study_id", "image", "report"}
            assert (row["study_id"], row["image"], row["report"]) == (
                study.study_id,
                {"bytes": study.image},
                study.report,
            )
    assert len(table) == len(expected)
    assert reads == dict.fromkeys(range(table.groups), 1)
    assert table.groups == 3 + 5


def test_what_is_kept_stays_within_its_bound_and_the_last_used_stays(
    folder: Path, tmp_path: Path, reads: Counter
) -> None:
    most = 3 * GROUP * PICTURE + 6000
    cache = GroupCache(tmp_path / "cache", most)
    table = RowGroups(str(folder), COLUMNS, cache)
    for group in range(3, 8):
        table.row(GROUP)
        table.row(16 + GROUP * (group - 3))
        files = [*cache.folder.iterdir()]
        assert sum(file.stat().st_size for file in files) <= most
    assert reads[1] == 1
    table.row(16)
    assert reads[3] == 2


def test_another_set_at_the_same_path_is_read_anew(folder: Path, tmp_path: Path) -> None:
    cache = GroupCache(tmp_path / "cache")
    assert RowGroups(str(folder), COLUMNS, cache).row(0)["study_id"] == "a0"
    write_studies(studies("c", 16), folder / "a.parquet")
    assert RowGroups(str(folder), COLUMNS, cache).row(0)["study_id"] == "c0"
    assert RowGroups(str(folder), ["report"], cache).row(0) == {"report": "Number 0."}


def test_where_nothing_can_be_kept_rows_are_read_all_the_same(
    folder: Path, tmp_path: Path, reads: Counter, caplog: pytest.LogCaptureFixture
) -> None:
    group_cache._say_once.cache_clear()
    (tmp_path / "closed").mkdir(mode=0o555)
    table = RowGroups(str(folder), COLUMNS, GroupCache(tmp_path / "closed" / "cache"))
    with without_override():
        assert [table.row(number)["study_id"] for number in (0, 1, 0)] == ["a0", "a1", "a0"]
    assert reads[0] == 3
    assert caplog.text.count("is not kept there") == 1


@pytest.mark.parametrize("gone", [True, False], ids=["gone", "cut"])
def test_a_file_that_is_lost_on_the_way_is_named(folder: Path, tmp_path: Path, gone: bool) -> None:
    table = RowGroups(str(folder), COLUMNS, GroupCache(tmp_path / "cache"))
    table.row(0)
    file = folder / "b.parquet"
    file.unlink() if gone else file.write_bytes(file.read_bytes()[:20])
    assert table.row(1)["study_id"] == "a1"
    with pytest.raises(XLIPError, match=r"b\.parquet: cannot be read"):
        table.row(20)


def test_a_changed_byte_of_a_picture_is_found(folder: Path, tmp_path: Path) -> None:
    file = folder / "a.parquet"
    data = bytearray(file.read_bytes())
    data[data.index(studies("a", 16)[3].image) + 100] ^= 1
    file.write_bytes(data)
    with pytest.raises(XLIPError, match=r"a\.parquet: cannot be read .*(CRC|checksum)"):
        RowGroups(str(folder), COLUMNS, GroupCache(tmp_path / "cache")).row(3)


def _walk(table: RowGroups, together, results) -> None:
    """Take every row, beginning when the other process does; a group takes long to read."""
    read, count = RowGroups._read, Counter()
    RowGroups._read = lambda self, group: count.update([group]) or time.sleep(0.2) or read(self, group)
    together.wait(timeout=300)
    results.put(([table.row(number)["study_id"] for number in range(len(table))], sum(count.values())))


def test_processes_share_what_one_of_them_read(folder: Path, tmp_path: Path) -> None:
    table = RowGroups(str(folder), COLUMNS, GroupCache(tmp_path / "cache"))
    spawn = get_context("spawn")
    results, together = spawn.Queue(), spawn.Barrier(2)
    workers = [spawn.Process(target=_walk, args=(table, together, results)) for _ in range(2)]
    for worker in workers:
        worker.start()
    found = [results.get(timeout=300) for _ in workers]
    for worker in workers:
        worker.join()
    assert [rows for rows, _ in found] == [[one.study_id for one in read_studies(folder)]] * 2
    assert sum(count for _, count in found) == table.groups
    assert {file.suffix for file in (tmp_path / "cache").iterdir()} == {".arrow"}


def test_the_folder_of_a_run_is_its_users_alone_and_those_of_dead_runs_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    dead, other = (tmp_path / f"xlip-{os.getuid()}-{name}" for name in ("4194999", "notes"))
    for one in (dead, other):
        one.mkdir()
    made = run_cache.__wrapped__().folder
    assert made.parent == tmp_path
    assert made.stat().st_mode & 0o077 == 0
    assert not dead.exists()
    assert other.exists()
    made.chmod(0o777)  # as somebody else would have made it, to look into it
    assert run_cache.__wrapped__().folder != made


@pytest.fixture
def large(folder: Path, monkeypatch: pytest.MonkeyPatch) -> StudyTable:
    monkeypatch.setattr(study_table, "WINDOW_BYTES", 2 * GROUP * PICTURE)
    return StudyTable([SetConfig(str(folder), repeat=2)], "pairs")


def test_an_epoch_of_a_large_set_reads_each_group_once_and_mixes_a_window(large: StudyTable) -> None:
    orders = [epoch_order(large, np.random.default_rng(seed)) for seed in (0, 0, 1)]
    assert orders[0].tolist() == orders[1].tolist()
    assert orders[0].tolist() != orders[2].tolist()
    assert sorted(orders[0].tolist()) == [*range(len(large))] == [*range(92)]
    units = large.units[orders[0]]
    places = [np.flatnonzero(units == unit) for unit in range(16)]
    assert max(spread[-1] - spread[0] for spread in places) < 6 * GROUP
    middles = [float(spread.mean()) for spread in places]
    assert np.abs(np.argsort(np.argsort(middles)) - np.arange(16)).max() > 5  # not in the order of the files
    assert sum((units[1:] != units[:-1]).tolist()) > 40
    open_at = [sum(spread[0] <= place <= spread[-1] for spread in places) for place in range(92)]
    assert 2 <= max(open_at) <= 5


def test_small_sets_and_whoever_asks_for_it_are_shuffled_by_rows(folder: Path, large: StudyTable) -> None:
    sets = [SetConfig(str(folder), repeat=2)]
    for table in (StudyTable(sets, "pairs", order="rows"), StudyTable(sets, "texts")):
        assert table.units is None
        assert (epoch_order(table, np.random.default_rng(3)) == np.random.default_rng(3).permutation(92)).all()
    assert StudyTable(sets, "texts", order="groups").units is not None
    with pytest.raises(XLIPError, match=r"data\.order: expected one of auto, rows, groups; got 'none'"):
        StudyTable(sets, "pairs", order="none")


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A bucket of a server on this machine that speaks S3."""
    server = pytest.importorskip("moto.server").ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    s3fs.S3FileSystem().mkdir("bucket")
    yield "s3://bucket"
    s3fs.S3FileSystem.clear_instance_cache()
    server.stop()


def test_a_set_in_an_object_storage_is_the_same_and_only_what_is_needed_is_fetched(
    folder: Path, tmp_path: Path, bucket: str, reads: Counter
) -> None:
    import s3fs

    s3fs.S3FileSystem().put(str(folder), "bucket/set", recursive=True)
    there, here = StudyTable([SetConfig(f"{bucket}/set")], "pairs"), StudyTable([SetConfig(str(folder))], "pairs")
    assert there.fingerprint() == here.fingerprint()
    assert there.content() == here.content()
    assert [*there.reports()] == [*here.reports()]
    reads.clear()
    there.fetch([1, 2, 17, 18])
    assert reads == {0: 1, 3: 1}
    assert [there[number] for number in (1, 2, 17, 18)] == [here[number] for number in (1, 2, 17, 18)]
    assert sum(reads.values()) == 4  # two groups of each
    with pytest.raises(XLIPError, match=r"expected a Parquet file, or a folder of them, at s3://bucket/none"):
        StudyTable([SetConfig(f"{bucket}/none")], "pairs")
    s3fs.S3FileSystem().rm("bucket/set/b.parquet")
    with pytest.raises(XLIPError, match=r"s3://bucket/set/b\.parquet: cannot be read"):
        there[40]


def test_a_column_that_a_set_lacks_is_left_out(tmp_path: Path) -> None:
    pq.write_table(pa.table({"study_id": ["a"], "report": ["x"]}), tmp_path / "old.parquet")
    table = RowGroups(str(tmp_path / "old.parquet"), COLUMNS, GroupCache(tmp_path / "cache"))
    assert table.row(0) == {"study_id": "a", "report": "x"}
    assert [part.to_pydict() for part in table.read(["report", "sex"])] == [{"report": ["x"]}]
