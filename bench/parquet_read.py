"""What reading a large set costs by rows and by groups: `python bench/parquet_read.py --sets A B --s3 C --json FILE`.

For every set, each order and a cold and a warm cache of the operating system, a process of its own reads the studies of
some steps, without decoding a picture: first those at the start of an epoch, then as many in its midst, where a window
is full. It counts CPU and wall time, row groups and the bytes that they take in the files. Sets under `--s3` lie behind
a server on this machine that speaks S3 (moto). `bench/parquet_set.py` makes the sets.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pyarrow.parquet as pq

from facts import this_run
from xlip.batches import row_groups
from xlip.batches.study_table import WINDOW_BYTES, SetConfig, StudyTable, epoch_order
from xlip.files import write_json

EACH = 112
"""Studies of a step."""
STEPS = {"rows": 2, "groups": 40}
KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}


def measured(path: str, order: str, *, cold: bool) -> dict[str, Any]:
    """One process's reading."""
    local = "://" not in path
    if local:
        for file in Path(path).glob("*.parquet"):
            forget(file) if cold else file.read_bytes()
    start, cpu = time.perf_counter(), time.process_time()
    table = StudyTable([SetConfig(path)], "pairs", order=order)
    opened = {"wall": time.perf_counter() - start, "cpu": time.process_time() - cpu}
    if local and cold:
        for file in Path(path).glob("*.parquet"):
            forget(file)  # what opening has read
    walk = epoch_order(table, np.random.default_rng(0))
    middle = len(walk) // 2
    if order == "groups":  # the window that stands there has been read before
        read(table, walk[middle - 4 * EACH * STEPS[order] : middle])
    report: dict[str, Any] = {"set": Path(path).name, "order": order, "cold": cold, "s3": not local}
    report["read"] = EACH * STEPS[order]
    report["studies"], report["open_seconds"] = len(table), {name: round(value, 2) for name, value in opened.items()}
    for name, first in (("start", 0), ("midst", middle)):
        with counted() as count:
            start, cpu = time.perf_counter(), time.process_time()
            read(table, walk[first : first + EACH * STEPS[order]])
            spent = {"cpu_ms": time.process_time() - cpu, "wall_ms": time.perf_counter() - start}
        rows = EACH * STEPS[order]
        report[name] = {key: round(1000 * value / rows, 3) for key, value in spent.items()}
        report[name] |= {"kb": round(count["bytes"] / 1000 / rows, 1), "groups": round(count["groups"] / rows, 4)}
    return report


def read(table: StudyTable, walk: Any) -> None:
    for first in range(0, len(walk), EACH):
        chosen = walk[first : first + EACH].tolist()
        table.fetch(chosen)
        for index in chosen:
            assert table[index].image


def forget(file: Path) -> None:
    """Have the operating system drop what it keeps of a file."""
    with file.open("rb") as stream:
        os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


@contextmanager
def counted() -> Iterator[dict[str, float]]:
    """Row groups that are read within the block, and their bytes in the files."""
    count = {"groups": 0.0, "bytes": 0.0}
    inner = row_groups.RowGroups._read

    def counting(self: Any, group: int) -> Any:
        count["groups"] += 1
        count["bytes"] += self.bytes_of([group])
        return inner(self, group)

    with patch.object(row_groups.RowGroups, "_read", counting):
        yield count


@contextmanager
def served(folder: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """A set behind a server in this process: its URL and the environment that reaches it."""
    import logging

    import fsspec
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    environment = {**KEYS, "AWS_ENDPOINT_URL": f"http://{host}:{port}"}
    os.environ.update(environment)
    storage = fsspec.filesystem("s3")
    storage.mkdir("bucket")
    storage.put(str(folder), f"bucket/{folder.name}", recursive=True)
    try:
        yield f"s3://bucket/{folder.name}", environment
    finally:
        server.stop()


def in_its_own(path: str, order: str, cold: bool, environment: dict[str, str]) -> dict[str, Any]:
    words = [sys.executable, __file__, "--only", path, order, "cold" if cold else "warm"]
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True, env={**os.environ, **environment})
    found: dict[str, Any] = json.loads(done.stdout)
    print(found, flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", type=Path, nargs="*", default=[])
    parser.add_argument("--s3", type=Path, nargs="*", default=[])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--only", nargs=3, help="set, order and cold or warm, measured in this process")
    options = parser.parse_args()
    if options.only:
        path, order, state = options.only
        print(json.dumps(measured(path, order, cold=state == "cold")))
        return
    found, sizes = [], {}
    for folder in (*options.sets, *options.s3):
        files = sorted(folder.glob("*.parquet"))
        rows = pq.read_metadata(files[0]).row_group(0).num_rows
        sizes[folder.name] = {"gb": round(sum(file.stat().st_size for file in files) / 1e9, 2), "rows_of_a_group": rows}
    for folder in options.sets:
        found += [in_its_own(str(folder), order, cold, {}) for order in STEPS for cold in (True, False)]
    for folder in options.s3:
        with served(folder) as (url, environment):
            found += [in_its_own(url, order, True, environment) for order in STEPS]
    if options.json:
        write_json(options.json, {**this_run(), "window_bytes": WINDOW_BYTES, "sets": sizes, "readings": found})


if __name__ == "__main__":
    main()
