"""The demo with several seeds of phantoms and initialisation: means and intervals of its figures.

`python bench/demo_seeds.py --out runs/demo_seeds --seeds 0 1 2 3 4` writes docs/data/demo_seeds.json; a seed whose
figures are there is not run again.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from facts import this_run
from xlip.demo import DemoConfig, demo
from xlip.files import write_json


def main() -> None:
    """Run the seeds and write their figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", default="runs/demo_seeds")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--write", default="docs/data/demo_seeds.json")
    options = parser.parse_args()
    found = {seed: one_seed(Path(options.out) / str(seed), seed) for seed in options.seeds}
    rows = {seed: flat(figures) for seed, figures in found.items()}
    names = list(next(iter(rows.values())))
    facts = this_run()
    figures = {name: over_seeds([row[name] for row in rows.values()]) for name in names}
    write_json(Path(options.write), {**facts, "seeds": options.seeds, "figures": figures})
    for name, one in figures.items():
        print(f"{name:45s} {one['mean']:.3f} ({one['ci95'][0]:.3f} to {one['ci95'][1]:.3f})  {one['values']}")


def one_seed(out: Path, seed: int) -> dict[str, Any]:
    """The figures of a demo, from its folder where it has run."""
    if not (out / "metrics.json").exists():
        start = time.process_time()
        demo(DemoConfig(out=str(out), seed=seed), say=print)
        print(f"seed {seed}: {time.process_time() - start:.0f} s of CPU")
    figures: dict[str, Any] = json.loads((out / "metrics.json").read_text())
    return figures


def flat(metrics: dict[str, Any]) -> dict[str, float]:
    """The figures that the method is judged by, by name."""
    xlip, seen = metrics["zeroshot"]["xlip"], metrics["interaction"]
    rows = {
        "macro AUROC": xlip["macro_auroc"],
        "macro AUROC, pairs only": metrics["zeroshot"]["pairs_only"]["macro_auroc"],
    }
    rows |= {
        f"AUROC of {kind}": xlip["per_kind"][kind]["auroc"] for kind in ("Nodule", "Mass", "Consolidation", "Fracture")
    }
    maps = seen["maps"]
    for name in ("pointing", "cell_auroc", "enrichment_quarter", "enrichment_half"):
        rows[name] = maps[name]["mean"]
    rows["mask_enrichment_quarter"] = maps["mask_enrichment_quarter"]["mean"]
    rows["mask_enrichment_half"] = maps["mask_enrichment_half"]["mean"]
    rows["present against absent"] = maps["present_against_absent"]
    for share, one in seen["reconstruction"].items():
        for name in ("wrong", "none"):
            rows[f"error inside, smaller than with {name} text, {share}"] = one[f"gain_over_{name}_share"]
        for name in ("right", "wrong", "none"):
            rows[f"error outside, {name} text, {share}"] = one[f"error_outside_{name}"]["mean"]
    for what, one in seen["words"].items():
        rows[f"{what} words, top-1 right less shuffled"] = one["top1_right"] - one["top1_shuffled"]
        rows[f"{what} words, cross-entropy null less right"] = one["cross_entropy_null"] - one["cross_entropy_right"]
    rows["left against right effusion"] = seen["left_against_right_effusion"]
    rows["seconds"] = metrics["seconds"]
    return {name: float("nan") if value is None else float(value) for name, value in rows.items()}


def over_seeds(values: list[float]) -> dict[str, Any]:
    """Mean over seeds and its t interval."""
    mean, count = float(np.mean(values)), len(values)
    reach = float(stats.t.ppf(0.975, count - 1) * stats.sem(values)) if count > 1 else float("nan")
    ends = [mean - reach, mean + reach] if count > 1 else [mean, mean]
    return {"mean": mean, "ci95": ends, "values": [round(value, 4) for value in values]}


if __name__ == "__main__":
    main()
