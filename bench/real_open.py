"""The real trial with Open-i: prepare, train variants of configs/real_open.yaml with several seeds, evaluate, write.

`make real-open` runs it; `docs/results.md` is then written from docs/data/real_open.json by `bench/results.py`.
What is finished under `--out` is not done again, so a stopped trial goes on and seeds can be added. `--choose FILE...`
trains on the training parts alone and measures changes of the recipe (configs/real_open) on the validation parts.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import yaml

from facts import facts
from recorder import Recorder, last_line
from xlip.ablation.plan import laid_over
from xlip.evaluate.suite_file import load_suite

CONFIG = Path("configs/real_open.yaml")
DATA = "runs/real_open/data"
"""Where the config says that the prepared sets are; `--out` puts them elsewhere."""
SETS: dict[str, tuple[str, list[str]]] = {
    "openi": (
        "iu_openi",
        ["--split", "patients/80-10-10", "--options.labels", "tags", "--options.restore_shape", "true"],
    ),
    "nih": ("nih_chestxray14_subset", ["--holdout", "0.2", "--validation", "0.15"]),
    "covid-chestxray": ("covid-chestxray-dataset", []),
    "hannover": ("covid-19-image-repository", []),
    "kermany": ("kermany_chest_xray", ["--holdout", "0.2"]),
    "roco": ("roco_cxr_captions", []),
}
"""Source -> folder of the raw data, how it is prepared."""
UNSEEN = "nih"
"""The set whose labels the variant `no_labels` does without."""
VARIANTS = ("xlip", "no_labels", "paired", "pairs_only")
TESTS = ("nih", "openi", "kermany")
FEW = ("--replicates", "20")
"""Intervals are not looked at where recipes are chosen."""


def variant(base: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The recipe, or a relative of it: the same model, pairs and steps.

    `no_labels`: ChestX-ray14 as images alone, its labels unseen. `paired`: every term, but neither lone images nor lone
    reports. `pairs_only`: these pairs, contrastive alone.
    """
    if name == "no_labels":
        images = [one | {"labels": False} if is_of(one, UNSEEN) else one for one in base["data"]["images"]]
        return laid_over(base, {"data": {"images": images}})
    if name == "paired":
        return laid_over(base, {"data": {"mix": {"images": 0, "texts": 0}}})
    if name == "pairs_only":
        changes = {"data": {"mix": {"images": 0, "texts": 0}}, "model": {"local": False, "local_share": 0.0}}
        return {**laid_over(base, changes), "objectives": {"contrastive": {}}}
    return dict(base)


def is_of(item: Mapping[str, Any], name: str) -> bool:
    """Whether a set of a stream is the one of a source."""
    return Path(item["path"]).name == name


def without_validation(base: Mapping[str, Any]) -> dict[str, Any]:
    """The recipe without the sets that are validation parts beside a training part."""
    data = dict(base["data"])
    for stream in ("pairs", "images", "texts"):
        trained = {one["path"] for one in data.get(stream, []) if one.get("split", "train") == "train"}
        data[stream] = [one for one in data.get(stream, []) if one.get("split") != "val" or one["path"] not in trained]
    return {**base, "data": data}


def placed(base: Mapping[str, Any], out: Path) -> dict[str, Any]:
    """The recipe with the sets under `out`."""
    text = json.dumps(base).replace(f'"{DATA}/', f'"{(out / "data").as_posix()}/')
    made: dict[str, Any] = json.loads(text)
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default=os.environ.get("XLIP_DATA", "../shared/data"), help="the raw sets")
    parser.add_argument("--out", type=Path, default=Path("runs/real_open"))
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--variants", default=",".join(VARIANTS))
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="trainings at a time, a thread each")
    parser.add_argument("--steps", type=int, help="instead of the recipe's, to try the script")
    parser.add_argument("--choose", type=Path, nargs="+", help="changes of the recipe, measured on validation parts")
    parser.add_argument("--json", type=Path, default=Path("docs/data/real_open.json"))
    options = parser.parse_args()
    recorder = Recorder(threads=1)  # narrow towers gain nothing from a second thread; a second training does
    prepare(recorder, options)
    base = placed(yaml.safe_load(CONFIG.read_text("utf-8")), options.out)
    if options.steps:
        base |= {"steps": options.steps}
    seeds = [int(seed) for seed in options.seeds.split(",")]
    if options.choose:
        for file, seed in ((file, seed) for file in options.choose for seed in seeds):
            choose(recorder, options, base, file, seed)
        return
    # Seed by seed: what a stopped trial leaves is whole seeds.
    wanted = [(name, seed) for seed in seeds for name in options.variants.split(",")]
    with ThreadPoolExecutor(options.jobs) as pool:
        list(pool.map(lambda one: trained(recorder, options, base, *one), wanted))
    write(options)


def prepare(recorder: Recorder, options: argparse.Namespace) -> None:
    """The sets that are not there yet."""
    for name, (folder, extra) in SETS.items():
        out = options.out / "data" / name
        if not (out / "stats.json").exists():
            root = str(Path(options.data) / folder)
            recorder.run(["xlip", "prepare", name, "--root", root, "--out", str(out), *extra])


def choose(recorder: Recorder, options: argparse.Namespace, base: Mapping[str, Any], file: Path, seed: int) -> None:
    """Train with the changes of a file and print what the validation parts say."""
    changes = placed(yaml.safe_load(file.read_text("utf-8")) or {}, options.out)
    config = without_validation(laid_over(base, changes))
    run = options.out / "choice" / f"{file.stem}-{seed}"
    measured = pretrain(recorder, config, run, seed)
    found: dict[str, Any] = {"choice": file.stem, "seed": seed, "cpu_seconds": measured["cpu_seconds"]}
    for name in ("nih", "openi"):
        out = run / f"val-{name}"
        data = str(options.out / "data" / name)
        recorder.run(
            ["xlip", "zeroshot", "--model", str(run), "--data", data, "--split", "val", "--out", str(out), *FEW]
        )
        metrics = json.loads((out / "metrics.json").read_text("utf-8"))
        found[name] = {key: round(part["macro_auroc"], 4) for key, part in readings(metrics).items()}
    print(json.dumps(found), flush=True)
    with (options.out / "choice" / "choices.jsonl").open("a", encoding="utf-8") as log:
        log.write(json.dumps(found) + "\n")


def trained(recorder: Recorder, options: argparse.Namespace, base: Mapping[str, Any], name: str, seed: int) -> None:
    """One variant and seed, trained and evaluated on the test parts, unless its figures are there already."""
    run, figures = options.out / f"{name}-{seed}", options.out / "figures" / f"{name}-{seed}.json"
    if figures.exists():
        return
    config = variant(base, name)
    measured = pretrain(recorder, config, run, seed)
    test = run / "test"
    shutil.rmtree(test, ignore_errors=True)
    data = str(options.out / "data")
    command = ["xlip", "evaluate", "--suite", "real_open", "--root", data, "--model", str(run), "--out", str(test)]
    evaluated = recorder.run(command)
    found = {
        "variant": name,
        "seed": seed,
        "steps": config["steps"],
        "training": measured,
        "evaluation": evaluated,
        "last": last_line(run / "log.jsonl"),
        **{entry.name: kept(test / entry.name) for entry in load_suite("real_open").entries},
        "transport": carried(test),
        "made_by": facts(),
    }
    figures.parent.mkdir(parents=True, exist_ok=True)
    figures.write_text(json.dumps(found, indent=1) + "\n", "utf-8")


def pretrain(recorder: Recorder, config: Mapping[str, Any], run: Path, seed: int) -> dict[str, Any]:
    """Train anew; what it took."""
    shutil.rmtree(run, ignore_errors=True)
    run.parent.mkdir(parents=True, exist_ok=True)
    file = run.with_suffix(".yaml")
    file.write_text(yaml.safe_dump(dict(config), sort_keys=False), "utf-8")
    wanted = ["--config", str(file), "--out", str(run), "--seed", str(seed), "--workers", "0"]
    return recorder.run(["xlip", "pretrain", *wanted])


def readings(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """POS, NEG, PNC and 'no X' of the first prompt set."""
    found: dict[str, Any] = next(iter(metrics["negation"].values()))
    return found


def kept(folder: Path) -> dict[str, Any]:
    """The figures of an entry that docs/ keeps: no subgroup, no kind with too few cases."""
    metrics = json.loads((folder / "metrics.json").read_text("utf-8"))
    wanted = ("images", "split", "prompts", "preprocessing", "checkpoint", "macro_auroc", "macro_ci95", "left_out")
    found = {name: metrics[name] for name in (*wanted, "image_to_text", "text_to_image") if name in metrics}
    if "per_kind" in metrics:
        left = set(metrics["left_out"])
        found["per_kind"] = {kind: one for kind, one in metrics["per_kind"].items() if kind not in left}
        found["readings"] = {
            name: {key: one[key] for key in ("macro_auroc", "macro_ci95")} for name, one in readings(metrics).items()
        }
    return found


def carried(test: Path) -> list[dict[str, Any]]:
    """Thresholds from set to set: how many kinds, means of sensitivity and specificity, how many keep their aim."""
    files = sorted(test.glob("transport/*/transport.json"))
    pairs = json.loads(files[0].read_text("utf-8"))["pairs"] if files else []
    found = []
    for pair in pairs:
        kinds = pair["kinds"].values()
        goals = {goal for one in kinds for goal in one["thresholds"]}
        if pair["chosen_on"] == pair["used_on"] or not kinds:
            continue
        row: dict[str, Any] = {"from": pair["chosen_on"], "to": pair["used_on"], "kinds": sorted(pair["kinds"])}
        for goal in sorted(goals):
            parts = [one["thresholds"][goal] for one in kinds]
            row[goal] = {name: mean(part[name] for part in parts) for name in ("sensitivity", "specificity")}
            row[goal]["carries"] = None if goal == "youden" else sum(bool(part["carries"]) for part in parts)
        found.append(row)
    return found


def mean(values: Any) -> float | None:
    """Of what was measured."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def write(options: argparse.Namespace) -> None:
    """docs/data/real_open.json from every finished variant and seed."""
    files = sorted((options.out / "figures").glob("*.json"))
    runs = [json.loads(file.read_text("utf-8")) for file in files]
    grouped = {name: sorted((one for one in runs if one["variant"] == name), key=seed_of) for name in VARIANTS}
    results = {name: found for name, found in grouped.items() if found}
    report = {"command": command_of(results), **facts(), "results": results}
    options.json.write_text(json.dumps(report, indent=1) + "\n", "utf-8")
    print(f"{len(runs)} trainings; figures in {options.json}; `make docs` writes docs/results.md")


def command_of(results: Mapping[str, list[dict[str, Any]]]) -> str:
    """What makes these results: the whole trial, or the part of it that was run."""
    seeds = sorted({seed_of(run) for runs in results.values() for run in runs})
    if all(len(results.get(name, [])) == len(seeds) for name in VARIANTS) and seeds == [0, 1, 2]:
        return "make real-open"
    return f"python bench/real_open.py --seeds {','.join(map(str, seeds))} --variants {','.join(results)}"


def seed_of(run: Mapping[str, Any]) -> int:
    """The seed of a finished run."""
    return int(run["seed"])


if __name__ == "__main__":
    main()
