"""Fine-tuning on real radiographs at 1, 10 and 100 % of the labels, and how fast it is: docs/data/finetune.json.

Zero-shot, fine-tuned from an XLIP checkpoint that saw no label of the set, and the same tower from scratch; three seeds
each, on held-out patients of ChestX-ray14 and held-out files of Kermany. Every finished cell stays in `--out`, so a
stopped run goes on. No setting was chosen on these test parts: `--trial` cross-validates inside the training parts.

`--speed` measures fine-tuning a ViT-S on 1,000 images of 128 px for 20 epochs.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from facts import ROOT, this_run
from real_mini import SETS
from results import finetune_lines
from xlip.batches.augmentation import Augment
from xlip.evaluate.finetuning import finetune_to
from xlip.finetune.classifier import XLIPClassifier
from xlip.finetune.fit import Part, fit
from xlip.finetune.recipe import Recipe
from xlip.finetune.run import FinetuneConfig
from xlip.preparation.run import prepare
from xlip.results.folder import metrics_json

RESULTS = ROOT / "docs" / "data" / "finetune.json"
KINDS = {"nih": "", "kermany": "Pneumonia"}
"""Sets to fine-tune on, and the kinds to learn there; all that are labelled by default."""
VALIDATION = {"nih": 0.12, "kermany": 0.08}
"""Share of the patients."""
STARTS = {
    "scratch": Recipe(init="scratch", most_steps=1000),
    "xlip": Recipe(most_steps=1000),
    "seen": Recipe(most_steps=1000),
}
"""Defaults but for the bound on the steps, which keeps the whole table under an hour on two cores."""
SEEN = "nih"
"""The set whose labels configs/real_mini.yaml trains with, as prompts: beside the clean table it gets one from a
checkpoint that knows all labels of its training part."""
MORE: dict[str, dict[str, Any]] = {"nih": {"view_contrast": {"weight": 0.5}}}
"""Objectives on top of configs/real_mini.yaml: without the labels of ChestX-ray14 little is left that tells one adult
from another (chosen on a fold of the training part, docs/log.md)."""
MODEL = (
    "configs/real_views.yaml, then configs/real_mini.yaml from its image tower, with the labels of every set but the "
    "one that is tested (ChestX-ray14: and view_contrast of weight 0.5); seed 0, without the validation parts"
)
VIT_S = {
    "image": {
        "model_type": "vit",
        "num_channels": 1,
        "image_size": 128,
        "patch_size": 16,
        "hidden_size": 384,
        "num_hidden_layers": 12,
        "num_attention_heads": 6,
        "intermediate_size": 1536,
    },
    "embed_dim": 256,
    "pool": "max",
    "pixel_mean": 0.5,
    "pixel_std": 0.25,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="", help="XLIP checkpoint; default: pre-trained here")
    parser.add_argument("--data", default=os.environ.get("XLIP_DATA", "../shared/data"), help="the raw sets")
    parser.add_argument("--out", type=Path, default=Path("runs/finetune"))
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--fractions", default="0.01,0.1,1")
    parser.add_argument("--only", choices=KINDS, help="make the cells of one set, beside another process; no table")
    parser.add_argument("--trial", action="store_true", help="three folds of the training parts; no test part is read")
    parser.add_argument("--speed", action="store_true")
    parser.add_argument("--images", type=int, default=1000, help="of --speed")
    parser.add_argument("--epochs", type=int, default=20, help="of --speed")
    parser.add_argument("--stem", default="patch", help="of --speed: patch or conv")
    parser.add_argument("--keep", type=float, default=0.0, help="of --speed: share of the patches; 0: the default")
    parser.add_argument("--json", type=Path, default=RESULTS)
    options = parser.parse_args()
    report = json.loads(options.json.read_text("utf-8")) if options.json.exists() else {}
    if options.speed:
        name = f"{options.keep:.0%} of the patches, {options.stem}" if options.keep else options.stem
        report.setdefault("speed", {})[name] = {**this_run(), **speed(options)}
    else:
        torch.set_num_threads(1)  # narrow towers gain nothing from a second one; two processes do (`--only`)
        report["table"] = {**this_run(), **table(options)}
    if options.trial or options.only:
        print(json.dumps(report["table"]["results"], indent=1))
    else:
        options.json.write_text(json.dumps(report, indent=1) + "\n", "utf-8")
        print("\n".join(finetune_lines(report)))


def table(options: argparse.Namespace) -> dict[str, Any]:
    """Every set, start, share and seed; what is finished is only read."""
    results: dict[str, dict[str, Any]] = {}
    sets = prepared(options)
    for name, kinds in KINDS.items():
        if options.only not in (None, name):
            continue
        for start, recipe in STARTS.items():
            if start == "seen" and (name != SEEN or options.model):
                continue  # a named checkpoint stands in the row xlip already, and what it saw is not known here
            out = options.out / ("trial" if options.trial else "") / f"{name}-{start}"
            config = FinetuneConfig(
                model=pretrained(options, sets, "" if start == "seen" else name),
                data=str(sets / name),
                out=str(out),
                recipe=recipe,
                kinds=kinds,
                fractions=options.fractions,
                seeds=options.seeds,
                folds=3 if options.trial else 0,
            )
            if start != "scratch":
                config = replace(config, baseline=str(out.with_name(f"{name}-scratch")))
            found = finetune_to(config, say=lambda line: print(f"{out.name}: {line}", flush=True))  # noqa: B023
            results.setdefault(name, {})[start] = metrics_json(found)
    rows = [row for starts in results.values() for one in starts.values() for row in one["table"]]
    return {
        "model": options.model or MODEL,
        "minutes": round(sum(row.get("seconds", 0) for row in rows) / 60, 1),
        "results": results,
    }


def prepared(options: argparse.Namespace, more: dict[str, tuple[str, float]] | None = None) -> Path:
    """The sets of the real trial, and `more` of the same form, with validation parts that pre-training does not see.

    A validation part whose labels shaped the checkpoint would make the start look too good and stop fine-tuning at once
    (docs/log.md). In Kermany every file is a patient of its own, so there this is a split by file-name hash.
    """
    for name, (folder, holdout) in {**SETS, **(more or {})}.items():
        out = options.out / "data" / name
        if not any(out.glob("*.parquet")):
            validation = VALIDATION.get(name, 0.0)
            prepare(name, Path(options.data) / folder, out, holdout=holdout, validation=validation)
    return Path(options.out / "data")


def pretrained(options: argparse.Namespace, data: Path, tested: str) -> str:
    """The checkpoint: the one that is named, or one made in two stages on the training parts of these sets.

    First views of all their images without a label, then XLIP as in the real trial, from the image tower of the first.
    No label of the set `tested` is seen, so that a share of its labels is all that is known of them; '' sees what
    configs/real_mini.yaml says.
    """
    if options.model:
        return str(options.model)
    views = stage(options.out / "views", "configs/real_views.yaml", data)
    run, more = options.out / f"xlip-{tested or 'seen'}", ("--model.image_checkpoint", str(views))
    return str(stage(run, "configs/real_mini.yaml", data, *more, tested=tested, objectives=MORE.get(tested, {})))


def stage(
    run: Path,
    config: str,
    data: Path,
    *more: str,
    tested: str = "",
    objectives: dict[str, dict[str, Any]] | None = None,
    images: dict[str, int] | None = None,
) -> Path:
    """A pre-training of a shipped config on the sets at `data`; one that is finished stays.

    Args:
        run: its folder.
        config: file.
        data: folder of the prepared sets.
        more: options of the command line.
        tested: set whose labels are hidden while those of the others are used; '' = as the config says.
        objectives: on top of the config's.
        images: further sets of lone images, and how often an epoch holds them.
    """
    if not (run / "model.safetensors").exists():
        run.parent.mkdir(parents=True, exist_ok=True)
        own = run.with_suffix(".yaml")
        options = yaml.safe_load(Path(config).read_text("utf-8").replace("runs/real_mini/data", str(data)))
        options["objectives"] |= objectives or {}
        options["data"]["images"] += [{"path": str(data / name), "repeat": n} for name, n in (images or {}).items()]
        for one in options["data"]["images"] if tested else []:
            one["labels"] = Path(one["path"]).name != tested
        own.write_text(yaml.safe_dump(options), "utf-8")
        command = [str(Path(sys.executable).parent / "xlip"), "pretrain", "--config", str(own), "--out", str(run)]
        subprocess.run([*command, "--seed", "0", "--workers", "0", "--resume", "auto", *more], check=True)
    return run


def speed(options: argparse.Namespace) -> dict[str, Any]:
    """Seconds for `--epochs` over `--images` images; what the images show does not matter, so they are noise."""
    rng = np.random.default_rng(0)
    torch.manual_seed(0)
    kinds = [str(number) for number in range(14)]
    shape = {**VIT_S, "stem": options.stem}
    model = XLIPClassifier(shape, kinds, image_size=128, preprocess="letterbox", scale=14.3)
    parts = [
        Part(rng.integers(0, 256, (count, 128, 128)).astype(np.uint8), rng.integers(0, 2, (count, 14)).astype(np.int8))
        for count in (options.images, max(2, options.images * 15 // 100))
    ]
    length = {"epochs": options.epochs, "least_steps": 1, "most_steps": 10**9, "patience": 0}
    recipe = Recipe(head="random", patch_keep=options.keep, **length)
    wall, cpu = time.perf_counter(), time.process_time()
    fit(model, parts[0], parts[1], recipe, seed=0, augment=Augment())
    return {
        "images": options.images,
        "epochs": options.epochs,
        "steps": recipe.updates(options.images),
        "validation_images": len(parts[1].targets),
        "threads": torch.get_num_threads(),
        "wall_s": round(time.perf_counter() - wall, 1),
        "cpu_s": round(time.process_time() - cpu, 1),
        "load_average": round(os.getloadavg()[0], 1),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


if __name__ == "__main__":
    main()
