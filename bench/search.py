"""How long a search takes over 650,000 vectors of 512 numbers, and LanceDB beside it: docs/data/search.json.

python bench/search.py [--rows 650000] [--lance-rows 200000] [--out docs/data/search.json]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from facts import this_run
from xlip.search.index import Index
from xlip.search.lance import LanceIndex
from xlip.search.scan import products
from xlip.search.store import Facts, Records, Store

WIDTH, INNER, TOP, BLOCK = 512, 48, 20, 50_000
GOAL_SECONDS, GOAL_RECALL = 0.3, 0.99
Array = np.ndarray[Any, Any]


def vectors(rng: np.random.Generator, count: int) -> Array:
    """Unit vectors near a plane of `INNER` dimensions, as embeddings of one kind of picture lie."""
    plane = np.random.default_rng(7).standard_normal((INNER, WIDTH), dtype=np.float32)
    found = rng.standard_normal((count, INNER), dtype=np.float32) @ plane
    found += rng.standard_normal((count, WIDTH), dtype=np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def records(rows: int) -> Iterator[Records]:
    rng = np.random.default_rng(0)
    for start in range(0, rows, BLOCK):
        numbers = range(start, min(start + BLOCK, rows))
        images = vectors(rng, len(numbers)).astype(np.float16)
        columns = [
            {"age": float(n % 90), "view": "AP" if n % 3 else "PA", "report": f"Report {n}: lungs clear." * 5}
            for n in numbers
        ]
        none = np.zeros((len(numbers), WIDTH), np.float16)
        yield Records([f"study/{n}" for n in numbers], images, none, columns, [b""] * len(numbers))


def filled(store: Store, rows: int, *, compact: bool = True) -> dict[str, float]:
    start = time.perf_counter()
    for one in records(rows):
        store.append(one)
    appended = time.perf_counter() - start
    if compact:
        store.compact()
    return {"append_s": round(appended, 1), "compact_s": round(time.perf_counter() - start - appended, 1)}


def seconds(function: Callable[[], object], runs: int) -> dict[str, float]:
    """Wall seconds of the first run; least, median and largest of the others; and their CPU seconds, since the machine
    may be busy: on two idle cores a search takes about half of these.
    """
    walls, processors = [], []
    for _ in range(runs + 1):
        wall, processor = time.perf_counter(), time.process_time()
        function()
        walls.append(time.perf_counter() - wall)
        processors.append(time.process_time() - processor)
    first, *warm = walls
    named = {"first": first, "least": min(warm), "median": statistics.median(warm), "largest": max(warm)}
    named |= {"cpu_least": min(processors[1:]), "cpu_median": statistics.median(processors[1:])}
    return {name: round(value, 4) for name, value in named.items()}


def alternatives(matrix: Array, query: Array, runs: int) -> dict[str, Any]:
    """Other ways to the same products, over one part of the index in memory."""
    single = matrix.astype(np.float32)
    found = {
        "bits moved (used)": seconds(lambda: products(matrix, query[None]), runs),
        "NumPy astype by blocks, two threads": seconds(lambda: by_blocks(matrix, query), 2),
        "a copy in single floats (twice the disk)": seconds(lambda: single @ query, runs),
    }
    return {"rows": len(matrix), **found}


def by_blocks(matrix: Array, query: Array) -> list[Array]:
    starts = range(0, len(matrix), 4096)
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(lambda start: matrix[start : start + 4096].astype(np.float32) @ query, starts))


def exact(folder: Path, rows: int, runs: int) -> dict[str, Any]:
    facts = Facts("bench", WIDTH, 224, "letterbox")
    made = filled(Index.create(folder, facts), rows, compact=False)
    queries = vectors(np.random.default_rng(1), 16)
    start = time.perf_counter()
    index = Index.open(folder)
    opened = time.perf_counter() - start
    where = "view = 'PA' and age > 60"
    timed = {
        "one query": seconds(lambda: index.nearest(queries[:1], TOP), runs),
        "one query, " + where: seconds(lambda: index.nearest(queries[:1], TOP, where), runs),
        "one query, age >= 0": seconds(lambda: index.nearest(queries[:1], TOP, "age >= 0"), runs),
        "16 queries": seconds(lambda: index.nearest(queries, TOP), 3),
    }
    matrix = np.array(index.parts[0].vectors["images"])
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    return {
        "rows": rows,
        **made,
        "open_s": round(opened, 3),
        "bytes": size,
        "seconds": timed,
        "alternatives": alternatives(matrix, queries[0], runs),
    }


def approximate(folder: Path, rows: int, runs: int) -> dict[str, Any]:
    """LanceDB beside exact search over the same rows: recall of the best `TOP`, and time."""
    facts = Facts("bench", WIDTH, 224, "letterbox")
    oracle = Index.create(folder / "exact", facts)
    filled(oracle, rows)
    lance = LanceIndex.create(str(folder / "lance"), facts)
    made = filled(lance, rows)
    queries = vectors(np.random.default_rng(2), 100)
    result: dict[str, Any] = {"rows": rows, **made, "indices": [str(one) for one in lance.table.list_indices()]}
    for where in ("", "view = 'PA' and age > 60"):
        wanted = oracle.nearest(queries, TOP, where)
        got = lance.nearest(queries, TOP, where)
        shared = [
            len({hit.id for hit in one} & {hit.id for hit in other}) / TOP
            for one, other in zip(wanted, got, strict=True)
        ]
        result[where or "all rows"] = {
            "recall": round(float(np.mean(shared)), 4),
            "seconds": seconds(lambda where=where: lance.nearest(queries[:1], TOP, where), runs),  # type: ignore[misc]
            "exact": seconds(lambda where=where: oracle.nearest(queries[:1], TOP, where), runs),  # type: ignore[misc]
        }
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=650_000)
    parser.add_argument("--lance-rows", type=int, default=200_000)
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--out", type=Path, help="JSON file to write, such as docs/data/search.json")
    options = parser.parse_args()
    result: dict[str, Any] = {"made": this_run(), "load": psutil.getloadavg()[0], "cores": os.cpu_count()}
    result |= {"width": WIDTH, "top": TOP, "goal": {"seconds": GOAL_SECONDS, "recall": GOAL_RECALL}}
    with tempfile.TemporaryDirectory() as folder:
        result["exact"] = exact(Path(folder) / "index", options.rows, options.runs)
        print(json.dumps(result, indent=1), flush=True)
        if options.out:
            options.out.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    with tempfile.TemporaryDirectory() as folder:
        if not options.lance_rows:
            return
        result["lance"] = approximate(Path(folder), options.lance_rows, options.runs)
    print(json.dumps(result["lance"], indent=1))
    if options.out:
        options.out.write_text(json.dumps(result, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
