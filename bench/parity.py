"""A fixed small run through the command line, its figures as JSON, so that a refactoring can be shown to change none.

`python bench/parity.py --out new.json --against old.json` prepares phantoms, trains a few steps, classifies zero-shot,
fine-tunes one cell and tags sentences, with the `xlip` that `PYTHONPATH` finds; it says which figures differ from the
other file, to the last digit, and returns 1 where some do. Figures of two machines, or of two numbers of threads, may
differ without a fault. Files are read by what every version writes (`scores.csv`, `log.jsonl`, the columns of the first
schema), so that a commit can be compared with one long before it.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import yaml
from sklearn.metrics import roc_auc_score

COLUMNS = ("study_id", "patient_id", "source", "split", "view", "image", "report", "labels", "entities")
"""Of a table of studies, in every version."""
SETS = {"pairs": (48, 0), "images": (96, 48), "texts": (96, 144), "tuned": (160, 240)}
"""Name -> how many phantoms, from which number on."""
MODEL = {
    "image_size": 64, "width": 32, "depth": 2, "heads": 2, "text_width": 32, "text_depth": 1, "text_heads": 2,
    "embed_dim": 16, "decoder_width": 32, "decoder_layers": 1, "decoder_heads": 2, "vocab_size": 400, "max_tokens": 48,
}  # fmt: skip
STEPS = 30
SENTENCES = (
    "The heart is mildly enlarged. No pleural effusion or pneumothorax.",
    "Small left pleural effusion with adjacent atelectasis, unchanged.",
    "No evidence of focal consolidation; possible early pneumonia in the right lower lobe.",
    "Lungs are clear. Heart size is normal. No acute osseous abnormality.",
    "History: tuberculosis. Findings: calcified granuloma in the left upper lobe.",
    "Cannot exclude a small apical pneumothorax on the right.",
    "Interval removal of the endotracheal tube. Right internal jugular line ends in the superior vena cava.",
    "Bilateral interstitial markings suggest mild pulmonary edema versus atypical infection.",
    "There is no change in the large hiatal hernia.",
    "Rule out pneumonia.",
    "Prior fracture of the left clavicle, healed. Degenerative changes of the spine.",
    "If symptoms persist, a mass should be excluded by CT.",
)
TIMES = ("images_per_s", "share_of_matmul_rate", "data_wait_share", "seconds")
"""Figures of the clock: no two runs agree on them."""


def xlip(*words: str, folder: Path) -> str:
    """Standard output of a command of `xlip`."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0", "XLIP_CACHE": str(folder / "cache")}
    command = [sys.executable, "-m", "xlip.cli", *words]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=folder, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(words)}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def figures(folder: Path) -> dict[str, Any]:
    """Every figure of the run, under names that do not change with the code."""
    found: dict[str, Any] = {}
    for name, (count, start) in SETS.items():
        options = {"count": count, "start": start, "seed": 0, "size": 96}
        words = [word for key, value in options.items() for word in (f"--options.{key}", str(value))]
        parts = ["--holdout", "0.4", "--validation", "0.2"] if name == "tuned" else []
        xlip("prepare", "phantom", "--out", name, "--workers", "0", "--encoding", "png", *parts, *words, folder=folder)
        found[f"prepare/{name}"] = table_digests(folder / name)
    found["pretrain"] = pretrained(folder)
    tuned = ("--model", "run", "--data", "tuned")
    xlip("zeroshot", *tuned, "--out", "zeroshot", "--replicates", "50", "--seed", "0", folder=folder)
    found["zeroshot"] = scored(folder / "zeroshot" / "scores.csv")
    recipe = ("--recipe.least_steps", "12", "--recipe.epochs", "1", "--recipe.checks", "3")
    xlip("finetune", *tuned, "--out", "cells", "--replicates", "50", *recipe, "--precision", "fp32", folder=folder)
    found["finetune"] = scored(folder / "cells" / "scores.csv")
    (folder / "sentences.txt").write_text("\n".join(SENTENCES) + "\n", "utf-8")
    xlip("tag", "sentences.txt", "--out", "tags.jsonl", folder=folder)
    records = [json.loads(line) for line in (folder / "tags.jsonl").read_text("utf-8").splitlines()]
    found["tag"] = {f"{number:02}": record for number, record in enumerate(records)}
    return found


def pretrained(folder: Path) -> list[dict[str, float]]:
    """What each step of a short training logs, but for times."""
    config = {
        "data": {
            **{name: [{"path": name}] for name in ("pairs", "images", "texts")},
            "mix": {"pairs": 6, "images": 6, "texts": 6},
        },
        "model": MODEL, "steps": STEPS, "log_every": 1, "workers": 0, "precision": "fp32",
    }  # fmt: skip
    (folder / "run.yaml").write_text(yaml.safe_dump(config), "utf-8")
    xlip("pretrain", "--config", "run.yaml", "--out", "run", folder=folder)
    lines = [json.loads(line) for line in (folder / "run" / "log.jsonl").read_text("utf-8").splitlines()]
    steps = [line for line in lines if "total" in line]
    assert len(steps) == STEPS, len(steps)
    return [{name: value for name, value in line.items() if name not in TIMES} for line in steps]


def table_digests(folder: Path) -> dict[str, Any]:
    """Number of studies, and a checksum of what each column says."""
    rows = [row for file in sorted(folder.glob("*.parquet")) for row in pq.read_table(file).to_pylist()]
    digests = {name: hashlib.sha256(repr([plain(row[name]) for row in rows]).encode()).hexdigest() for name in COLUMNS}
    return {"studies": len(rows), **{name: digest[:16] for name, digest in digests.items()}}


def plain(value: Any) -> Any:
    """A nested value with its keys in order."""
    if isinstance(value, dict):
        return sorted((key, plain(item)) for key, item in value.items())
    return [plain(item) for item in value] if isinstance(value, list) else value


def scored(file: Path) -> dict[str, Any]:
    """AUROC and mean score of each kind, and a checksum of all ids, truths and scores."""
    with file.open(newline="", encoding="utf-8") as stream:
        rows = sorted(csv.DictReader(stream), key=lambda row: row["study_id"])
    kinds = sorted(name.removeprefix("label:") for name in rows[0] if name.startswith("label:"))
    kept = [[row["study_id"], *((row[kind], row[f"label:{kind}"]) for kind in kinds)] for row in rows]
    found: dict[str, Any] = {"images": len(rows), "checksum": hashlib.sha256(repr(kept).encode()).hexdigest()[:16]}
    for kind in kinds:
        known = [row for row in rows if row[f"label:{kind}"] != ""]
        truth = [int(row[f"label:{kind}"]) for row in known]
        scores = [float(row[kind]) for row in known]
        area = float(roc_auc_score(truth, scores)) if len(set(truth)) == 2 else None
        found[kind] = {"auroc": area, "mean": float(np.mean(scores)), "known": len(known)}
    areas = [found[kind]["auroc"] for kind in kinds if found[kind]["auroc"] is not None]
    return found | {"macro_auroc": float(np.mean(areas))}


def flat(value: Any, path: str = "") -> dict[str, Any]:
    """Leaves by their paths."""
    if isinstance(value, dict):
        return {key: leaf for name, item in value.items() for key, leaf in flat(item, f"{path}/{name}").items()}
    if isinstance(value, list):
        return {key: leaf for place, item in enumerate(value) for key, leaf in flat(item, f"{path}/{place}").items()}
    return {path.removeprefix("/"): value}


def differences(new: dict[str, Any], old: dict[str, Any]) -> list[str]:
    """A line for every leaf that is not the same, or on one side alone."""
    ours, theirs = flat(new), flat(old)
    missing = "nothing"
    return [
        f"{path}: {theirs.get(path, missing)!r} -> {ours.get(path, missing)!r}"
        for path in sorted(ours.keys() | theirs.keys())
        if ours.get(path, missing) != theirs.get(path, missing)
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--against", type=Path, help="JSON file of another run, to compare with")
    parser.add_argument("--keep", type=Path, help="folder for what the run writes; default: a temporary one")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (arguments.keep or Path(temporary)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        found = figures(folder)
    arguments.out.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", "utf-8")
    last = found["pretrain"][-1]
    print(f"loss {last['total']!r} after {STEPS} steps")
    print(
        f"macro AUROC zero-shot {found['zeroshot']['macro_auroc']!r}, fine-tuned {found['finetune']['macro_auroc']!r}"
    )
    print(f"{len(flat(found))} figures: {arguments.out}")
    if arguments.against is None:
        return 0
    lines = differences(found, json.loads(arguments.against.read_text("utf-8")))
    print("\n".join(lines) if lines else f"all the same as in {arguments.against}")
    return 1 if lines else 0


if __name__ == "__main__":
    raise SystemExit(main())
