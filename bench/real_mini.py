"""The real-data trial: prepare, train XLIP and pairs-only with three seeds each, evaluate, and write the figures.

`make real-mini` runs it from nothing; `docs/results.md` is then written from its JSON by `bench/results.py`.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from facts import facts
from recorder import Recorder, last_line

SETS = {
    "nih": ("nih_chestxray14_subset", 0.2),
    "covid-chestxray": ("covid-chestxray-dataset", 0.0),
    "kermany": ("kermany_chest_xray", 0.2),
    "openi": ("iu_openi", 0.0),
    "roco": ("roco_cxr_captions", 0.0),
}
"""Source -> folder of the raw data, share of the patients that is held out."""
CONFIGS = {"xlip": "configs/real_mini.yaml", "pairs_only": "configs/real_mini_pairs.yaml"}
TESTS = {"nih": ["--split", "test"], "kermany": ["--kinds", "Pneumonia", "--split", "test"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default=os.environ.get("XLIP_DATA", "../shared/data"))
    parser.add_argument("--out", type=Path, default=Path("runs/real_mini"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--json", type=Path, default=Path("docs/data/real_mini.json"))
    options = parser.parse_args()
    # Narrow towers fill half of two cores: as many runs at once as there are cores take less time than one by one.
    cores = os.cpu_count() or 1
    jobs = min(cores, options.seeds * len(CONFIGS))
    start, recorder = time.perf_counter(), Recorder(threads=cores // jobs)
    for name, (folder, holdout) in SETS.items():
        extra = ["--holdout", str(holdout)] if holdout else []
        root = str(Path(options.data) / folder)
        recorder.run(["xlip", "prepare", name, "--root", root, "--out", str(options.out / "data" / name), *extra])
    chosen = [(name, seed) for seed in range(options.seeds) for name in CONFIGS]
    with ThreadPoolExecutor(jobs) as pool:
        measured = list(pool.map(lambda run: _train_and_evaluate(recorder, options, *run), chosen))
    results = {
        config: [run for (name, _), run in zip(chosen, measured, strict=True) if name == config] for config in CONFIGS
    }
    report = {
        "command": "make real-mini",
        **facts(),
        "jobs": jobs,
        "minutes": round((time.perf_counter() - start) / 60, 1),
        "results": results,
        "steps": recorder.done,
    }
    options.json.write_text(json.dumps(report, indent=1) + "\n", "utf-8")
    print(f"{report['minutes']} minutes; figures in {options.json}; `make results` writes docs/results.md")


def _train_and_evaluate(recorder: Recorder, options: argparse.Namespace, name: str, seed: int) -> dict[str, Any]:
    run = str(options.out / f"{name}-{seed}")
    shutil.rmtree(run, ignore_errors=True)  # measured anew; `pretrain` would not write over an earlier run
    recorder.run(["xlip", "pretrain", "--config", CONFIGS[name], "--out", run, "--seed", str(seed), "--workers", "0"])
    return {"seed": seed, "last": last_line(Path(run) / "log.jsonl"), **_evaluate(recorder, options, run)}


def _evaluate(recorder: Recorder, options: argparse.Namespace, run: str) -> dict[str, Any]:
    measured = {}
    for test, extra in TESTS.items():
        data, out = str(options.out / "data" / test), f"{run}/zeroshot-{test}"
        recorder.run(["xlip", "zeroshot", "--model", run, "--data", data, "--out", out, *extra])
        measured[test] = json.loads((Path(out) / "metrics.json").read_text("utf-8"))
    return measured


if __name__ == "__main__":
    main()
