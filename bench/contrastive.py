"""Memory and time of the contrastive loss, forward and backward: `python bench/contrastive.py --json FILE`.

Each size runs in a process of its own; memory is the largest resident set less what the process took before its inputs
were made, so that it holds inputs, their gradients and everything between.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F

from facts import this_run
from xlip.objectives.contrastive import both_ways, positive_keys

SIZES = ((1024, 512), (8192, 512), (32768, 512))
GOAL_GB = 1.5


def peak_gb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def measured(rows: int, width: int) -> dict[str, Any]:
    before = peak_gb()
    generator = torch.Generator().manual_seed(0)
    first, second = (
        F.normalize(torch.randn(rows, width, generator=generator), dim=1).requires_grad_() for _ in range(2)
    )
    scale = torch.tensor(14.3, requires_grad=True)
    keys = positive_keys(torch.arange(rows), torch.zeros(rows, 20, dtype=torch.int8))
    start, cpu = time.perf_counter(), time.process_time()
    term = both_ways(first, second, keys, scale, 1024)
    (term.total / term.count).backward()
    return {
        "rows": rows,
        "width": width,
        "seconds": round(time.perf_counter() - start, 2),
        "cpu_seconds": round(time.process_time() - cpu, 2),
        "gb": round(peak_gb() - before, 3),
        "process_gb": round(peak_gb(), 3),
        "matrix_gb": round(4 * rows**2 / 1e9, 3),
        "loss": float(term.total.detach() / term.count),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--only", type=int, nargs=2, help="rows and width, measured in this process")
    options = parser.parse_args()
    if options.only:
        print(json.dumps(measured(*options.only)))
        return
    found = []
    for rows, width in SIZES:
        words = [sys.executable, __file__, "--only", str(rows), str(width)]
        found.append(json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout))
        print(found[-1])
    report = {**this_run(), "goal_gb": GOAL_GB, "sizes": found, "fulfilled": found[-1]["gb"] < GOAL_GB}
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
