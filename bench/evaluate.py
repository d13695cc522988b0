"""Time and memory of zero-shot evaluation: the first prompt set, which embeds every image, and the second.

Each measurement is a process of its own. `python bench/evaluate.py --model RUN --data SET:SPLIT ...` writes
`docs/data/evaluate_speed.json` and the table `docs/measurements/evaluate_speed.md`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any


def measure(model: str, data: str, split: str, prompts: str) -> dict[str, Any]:
    """In this process: evaluate once, imports and model already loaded."""
    from xlip.evaluate.adapter import load_model
    from xlip.evaluate.cases import open_cases
    from xlip.evaluate.zeroshot import ZeroShot

    loaded = load_model(model)
    before, wall, cpu = _peak_mb(), time.perf_counter(), time.process_time()
    result = ZeroShot(prompts=prompts).run(loaded, open_cases(data, split=split))
    return {
        "prompts": result.identity["prompts"],
        "split": result.identity["split"],
        "preprocessing": result.identity["preprocessing"],
        "images": result.figures.images,
        "wall_s": round(time.perf_counter() - wall, 1),
        "cpu_s": round(time.process_time() - cpu, 1),
        "peak_mb": round(_peak_mb()),
        "peak_mb_before": round(before),
    }


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", nargs="+", required=True, help="SET:SPLIT")
    parser.add_argument("--one", default="", help=argparse.SUPPRESS)
    parser.add_argument("--json", type=Path, default=Path("docs/data/evaluate_speed.json"))
    options = parser.parse_args()
    if options.one:
        data, _, split = options.data[0].rpartition(":")
        print(json.dumps(measure(options.model, data, split, options.one)))
        return
    rows = []
    with tempfile.TemporaryDirectory() as cache:
        for data in options.data:
            for prompts in ("xlip", "biovil"):
                command = [sys.executable, __file__, "--model", options.model, "--data", data, "--one", prompts]
                done = subprocess.run(
                    command, capture_output=True, text=True, check=True, env={**os.environ, "XLIP_CACHE": cache}
                )
                rows.append(json.loads(done.stdout.splitlines()[-1]))
                print(rows[-1], flush=True)
    machine = {"machine": platform.machine(), "cores": os.cpu_count(), "load": round(os.getloadavg()[0], 1)}
    report = {"command": "python bench/evaluate.py", "machine": machine, "rows": rows}
    options.json.write_text(json.dumps(report, indent=1) + "\n", "utf-8")
    text = "# Speed of zero-shot evaluation\n\n" + table(rows)
    Path("docs/measurements/evaluate_speed.md").write_text(text, "utf-8")


def table(rows: list[dict[str, Any]]) -> str:
    header = ("split", "prompts", "images", "CPU s", "wall s", "peak MB", "of it before the first image")
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    for row in rows:
        keys = ("split", "prompts", "images", "cpu_s", "wall_s", "peak_mb", "peak_mb_before")
        lines.append("| " + " | ".join(str(row[key]) for key in keys) + " |")
    lines += [
        "",
        "Each row is a process of its own; the second prompt set reads the embeddings that the first one kept.",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
