"""A large prepared set from a small one, for measurements: its studies again and again under new ids.

`python bench/parquet_set.py --base FOLDER --out FOLDER --studies 200000 --rows 64`: row groups of at most so many rows
(and 16 MB), 64 files. What repeats are the pictures and reports; no two rows have an id in common.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from xlip.study.parquet import parquet_files, writer_options

FILES = 64


def grown(base: Path, out: Path, studies: int, rows: int) -> int:
    """Write the set; returns the bytes of its files."""
    table = pa.concat_tables(pq.read_table(file) for file in parquet_files(base)).combine_chunks()
    out.mkdir(parents=True)
    first = 0
    for number in range(FILES):
        count = studies * (number + 1) // FILES - first
        file = out / f"part-{number:05d}-of-{FILES:05d}.parquet"
        with pq.ParquetWriter(file, table.schema, **writer_options()) as writer:
            for start in range(first, first + count, rows):
                numbers = np.arange(start, min(start + rows, first + count))
                writer.write_table(renamed(table.take(numbers % len(table)), numbers), row_group_size=rows)
        first += count
    (out / "stats.json").write_text("{}\n", "utf-8")
    return sum(file.stat().st_size for file in out.glob("*.parquet"))


def renamed(table: Any, numbers: Any) -> Any:
    """Rows with ids, and patients, of their own."""
    ids = pa.array([f"repeated-{number:07d}" for number in numbers])
    for name in ("study_id", "patient_id"):
        table = table.set_column(table.column_names.index(name), name, ids)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", type=Path, required=True, help="prepared set of some thousand studies")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--studies", type=int, default=200_000)
    parser.add_argument("--rows", type=int, default=64, help="rows of a row group")
    options = parser.parse_args()
    size = grown(options.base, options.out, options.studies, options.rows)
    print(f"{options.studies} studies, {size / 1e9:.2f} GB, row groups of {options.rows}")


if __name__ == "__main__":
    main()
