"""Run `xlip ablate`, the whole plan or a part of it, and keep its table: docs/data/ablation_PLAN.json.

Cells that `--out` holds are not trained again, so that a stopped run goes on and seeds or variants can be added;
`docs/results.md` is then written by `bench/results.py`.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from facts import ROOT, this_run
from xlip.ablation.plan import read_plan
from xlip.ablation.run import AblateConfig, ablate, finished
from xlip.ablation.tables import FIGURES, table_header, table_rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plan", type=Path, default=Path("configs/ablate/phantom.yaml"))
    parser.add_argument("--out", type=Path, default=Path("runs/ablate"))
    parser.add_argument("--variants", default="", help="names separated by commas; default: all")
    parser.add_argument("--seeds", default="", help="numbers separated by commas; default: all")
    parser.add_argument("--replicates", type=int, default=1000)
    parser.add_argument("--table-alone", action="store_true", help="of the cells that are there: train nothing")
    options = parser.parse_args()
    variants = options.variants.split(",") if options.variants else []
    seeds = [int(seed) for seed in options.seeds.split(",")] if options.seeds else []
    config = AblateConfig(
        str(options.plan), str(options.out), replicates=options.replicates, variants=variants, seeds=seeds
    )
    if not options.table_alone:
        ablate(config, say=print)
    plan = read_plan(config.plan, quick=False).part(variants, seeds)
    done = finished(plan, options.out)
    report = {
        **this_run(),
        "plan": str(options.plan),
        "cells": len(done),
        "cpu_seconds": round(sum(one.told["cpu_seconds"] for one in done)),
        "header": table_header(plan),
        "rows": table_rows(plan, done, options.replicates),
        "per_seed": [
            {"variant": one.variant, "seed": one.seed, **{name: read(one.told) for name, read in FIGURES.items()}}
            for one in done
        ],
    }
    file = ROOT / "docs" / "data" / f"ablation_{options.plan.stem}.json"
    file.write_text(json.dumps(report, indent=1) + "\n", "utf-8")
    print(f"{len(done)} cells; figures in {file.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
