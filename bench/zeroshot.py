"""Seconds of `xlip zeroshot` on 600 phantoms with a cold and a warm cache, of this tree and of an older one in turn.

`python bench/zeroshot.py --base PATH/TO/OLDER/src` writes `docs/data/zeroshot_speed.json`.
Every measurement is a process of
its own, from its start to its end; processor seconds are those of the process, so that other work on the machine
counts less in them. Each tree reads a model of 20 steps that it trained itself, by its own defaults: the other could
not load it.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).parents[1]
MODEL = (
    "{image_size: 128, width: 128, depth: 2, heads: 4, text_width: 128, text_depth: 1, text_heads: 4, embed_dim: 128, "
    "stem: conv, decoder_width: 96, decoder_layers: 1, vocab_size: 1024, max_tokens: 64}"
)


def command(source: Path, arguments: list[str], folder: Path, cache: Path) -> tuple[float, float]:
    """Wall and processor seconds of one call of the command line."""
    environment = {**os.environ, "PYTHONPATH": str(source), "XLIP_CACHE": str(cache), "OMP_NUM_THREADS": "1"}
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, "-m", "xlip.cli", *arguments],
        cwd=folder,
        env=environment,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - start, cpu


def commit(source: Path) -> str:
    done = subprocess.run(["git", "-C", str(source), "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    return done.stdout.strip()


def prepared(folder: Path, trees: dict[str, Path], images: int) -> None:
    """One set, and a model of 20 steps of each tree."""
    options = ["--options.count", str(images), "--options.size", "128", "--options.seed", "5"]
    prepare = ["prepare", "phantom", "--root", ".", "--out", "data", "--workers", "0", *options]
    command(ROOT / "src", prepare, folder, folder)
    training = ["--model", MODEL, "--steps", "20", "--workers", "0", "--checkpoint_every", "0"]
    pairs = ["--data.pairs", "[{path: data}]", "--data.mix", "{pairs: 16}"]
    for name, source in trees.items():
        command(source, ["pretrain", "--out", f"run-{name}", *training, *pairs], folder, folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", type=Path, required=True, help="folder `src` of the older tree")
    parser.add_argument("--images", type=int, default=600)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path, default=ROOT / "docs" / "data" / "zeroshot_speed.json")
    options = parser.parse_args()
    trees = {"before": options.base.resolve(), "after": ROOT / "src"}
    seconds: dict[str, dict[str, list[tuple[float, float]]]] = {name: {"cold": [], "warm": []} for name in trees}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        prepared(folder, trees, options.images)
        for number in range(options.repeats):
            for name, source in trees.items():
                for state in ("cold", "warm"):
                    arguments = ["zeroshot", "--model", f"run-{name}", "--data", "data", "--out", f"{name}-{state}"]
                    cache = folder / f"cache-{name}-{number}"
                    seconds[name][state].append(command(source, arguments, folder, cache))
                    print(name, state, *(f"{value:.1f}" for value in seconds[name][state][-1]), flush=True)
            options.json.write_text(json.dumps(report(options, trees, seconds), indent=1) + "\n", "utf-8")
    print(options.json.read_text("utf-8"))


def report(
    options: argparse.Namespace,
    trees: dict[str, Path],
    seconds: dict[str, dict[str, list[tuple[float, float]]]],
) -> dict[str, Any]:
    """What is known after each repeat: a run that is stopped leaves what it has measured."""
    return {
        "command": "python bench/zeroshot.py --base OLDER/src",
        "images": options.images,
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "commits": {name: commit(source) for name, source in trees.items()},
        "seconds": {
            name: {state: summary(values) for state, values in states.items()} for name, states in seconds.items()
        },
    }


def summary(values: list[tuple[float, float]]) -> dict[str, float]:
    wall, cpu = zip(*values, strict=True)
    return {
        "wall_min": round(min(wall), 1),
        "wall_median": round(median(wall), 1),
        "cpu_min": round(min(cpu), 1),
        "cpu_median": round(median(cpu), 1),
        "repeats": len(values),
    }


if __name__ == "__main__":
    main()
