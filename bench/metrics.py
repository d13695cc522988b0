"""How fast the patient bootstrap is at the size of ChestX-ray14's official test.

Writes docs/data/metrics_speed.json and docs/measurements/metrics_speed.md.

25,596 images of 2,797 patients with 14 kinds, 1,000 replicates, scores drawn at random (speed does not depend on them).
Every run is a process of its own with one thread, so that its peak memory is its own; the best of several counts, CPU
time beside wall time, because other work may share the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from facts import ROOT, commit, cpu
from xlip.metrics.comparison import paired_bootstrap
from xlip.metrics.kinds import kind_table
from xlip.metrics.sorted_scores import RankedCases

IMAGES, PATIENTS, KINDS, REPLICATES = 25_596, 2_797, 14, 1_000
GOAL_SECONDS, GOAL_BYTES = 10, 1 << 30
Array = np.ndarray[Any, Any]


def simulated(images: int = IMAGES) -> tuple[Array, Array, Array]:
    """Labels (n, 14) from common to rare, scores of two models (2, n, 14) with many ties, patients (n,)."""
    rng = np.random.default_rng(0)
    labels = (rng.random((images, KINDS)) < np.geomspace(0.2, 0.003, KINDS)).astype(np.int8)
    common = rng.normal(size=labels.shape) + labels
    scores = 1 / (1 + np.exp(-common - rng.normal(size=(2, *labels.shape))))
    return labels, scores.round(4), rng.integers(0, PATIENTS, images)


def bootstrap() -> object:
    labels, scores, patients = simulated()
    return kind_table(labels, scores[0], patients, replicates=REPLICATES)


def bootstrap_one_image_each() -> object:
    labels, scores, _ = simulated()
    return kind_table(labels, scores[0], np.arange(IMAGES), replicates=REPLICATES)


def paired() -> object:
    labels, scores, patients = simulated()
    return paired_bootstrap(labels, scores[0], scores[1], patients, replicates=REPLICATES)


WORK: dict[str, tuple[str, Callable[[], object]]] = {
    "bootstrap": ("AUROC and AUPRC, every kind and macro", bootstrap),
    "one_image_each": ("the same, every image a patient of its own", bootstrap_one_image_each),
    "paired": ("AUROC difference of two models, every kind and macro", paired),
}


def waited() -> float:
    """Seconds that this process was ready to run but had no core, by Linux's own count."""
    return int(Path("/proc/self/schedstat").read_text("utf-8").split()[1]) / 1e9


def measured(name: str) -> dict[str, float]:
    """CPU and wall seconds, those of the wall that it waited for a core, and resident bytes before and at the peak."""
    import resource

    before = psutil.Process().memory_info().rss
    started = time.process_time(), time.perf_counter(), waited()
    WORK[name][1]()
    cpu, wall, wait = time.process_time() - started[0], time.perf_counter() - started[1], waited() - started[2]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"cpu_s": cpu, "wall_s": wall, "waited_s": wait, "peak_rss_bytes": peak, "rss_before_bytes": before}


def best(name: str, runs: int) -> dict[str, float]:
    """The least seconds and the largest memory of several processes."""
    command = [sys.executable, __file__, "--measure", name]
    threads = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    found = [
        json.loads(subprocess.run(command, check=True, capture_output=True, env=threads).stdout) for _ in range(runs)
    ]
    quickest = min(found, key=lambda run: run["wall_s"])
    seconds = {"cpu_s": min(run["cpu_s"] for run in found), **{key: quickest[key] for key in ("wall_s", "waited_s")}}
    return {**seconds, **{key: max(run[key] for run in found) for key in ("peak_rss_bytes", "rss_before_bytes")}}


def off_scikit_learn(replicates: int = 3) -> dict[str, float]:
    """Largest differences from scikit-learn over kinds and replicates, weighted by patient draws, ties and all."""
    from sklearn.metrics import average_precision_score, roc_auc_score

    labels, scores, patients = simulated()
    weights = np.random.default_rng(1).multinomial(PATIENTS, np.full(PATIENTS, 1 / PATIENTS), size=replicates)
    off = {"auroc": 0.0, "auprc": 0.0}
    for kind in range(KINDS):
        truth, score = labels[:, kind], scores[0, :, kind]
        areas = RankedCases.of(truth, score, patients).areas(weights)
        for name, ours, theirs in zip(off, areas, (roc_auc_score, average_precision_score), strict=True):
            expected = [theirs(truth, score, sample_weight=row[patients]) for row in weights]
            off[name] = max(off[name], float(np.abs(ours - expected).max()))
    return off


def table(result: dict[str, Any]) -> str:
    lines = [
        f"Written by `{result['command']}` at commit {result['commit']}: {IMAGES:,} images of {PATIENTS:,} patients, "
        f"{KINDS} kinds, {REPLICATES:,} replicates, one thread.",
        "",
        "| what | CPU s | wall s | of it waiting for a core | peak resident MiB |",
        "|---|---|---|---|---|",
    ]
    for name, (words, _) in WORK.items():
        row = result["runs"][name]
        seconds = " | ".join(f"{row[key]:.2f}" for key in ("cpu_s", "wall_s", "waited_s"))
        lines.append(f"| {words} | {seconds} | {row['peak_rss_bytes'] / 2**20:.0f} |")
    off, machine = result["off_scikit_learn"], result["machine"]
    lines += [
        "",
        f"Goal: below {GOAL_SECONDS} s and below 1 GiB. "
        f"Largest difference from scikit-learn: AUROC {off['auroc']:.0e}, AUPRC {off['auprc']:.0e}.",
        f"{machine['cores']} cores ({machine['processor']}), load {machine['load']:.1f} at the start, "
        f"Python {machine['python']}, NumPy {machine['numpy']}.",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--measure", choices=WORK, help="one run in this process, as JSON to standard output")
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measured(options.measure)))
        return
    result: dict[str, Any] = {
        "command": f"python bench/metrics.py --runs {options.runs}",
        "commit": commit(),
        "machine": {
            "cores": os.cpu_count(),
            "processor": cpu(),
            "load": psutil.getloadavg()[0],
            "python": platform.python_version(),
            "numpy": np.__version__,
        },
        "size": {"images": IMAGES, "patients": PATIENTS, "kinds": KINDS, "replicates": REPLICATES},
    }
    result["runs"] = {name: best(name, options.runs) for name in WORK}
    result["off_scikit_learn"] = off_scikit_learn()
    (ROOT / "docs" / "data" / "metrics_speed.json").write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    (ROOT / "docs" / "measurements" / "metrics_speed.md").write_text(
        "# Speed of the metrics\n\n" + table(result), "utf-8"
    )
    print(table(result))
    late = [
        name
        for name, run in result["runs"].items()
        if run["cpu_s"] >= GOAL_SECONDS or run["peak_rss_bytes"] >= GOAL_BYTES
    ]
    if late:
        sys.exit(f"goal missed: {', '.join(late)}")


if __name__ == "__main__":
    main()
