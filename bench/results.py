"""Write docs/results.md and the table of README.md from the JSON files of docs/data/.

`--demo FOLDER` first takes the figures of a run of `xlip demo` over into docs/data/demo.json.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

from ablation_table import ablation_lines
from facts import ROOT, facts, made_with
from real_open_table import real_open_lines

DOCS = ROOT / "docs"
DATA = DOCS / "data"
MARKS = ("<!-- results: written by `make results` -->", "<!-- end of results -->")
NAMES = {"xlip": "XLIP", "pairs_only": "pairs only, contrastive"}
TESTS = {"nih": "ChestX-ray14 part, held-out patients", "kermany": "Kermany pneumonia, labels never seen"}


def take_demo(folder: Path) -> None:
    metrics = json.loads((folder / "metrics.json").read_text("utf-8"))
    if metrics.pop("quick", False):
        raise SystemExit(f"{folder}: a demo in its quick form, whose figures are not for quoting; run `make demo`")
    (DATA / "demo.json").write_text(
        json.dumps({"command": "make demo", **facts(), **metrics}, indent=1) + "\n", "utf-8"
    )


def with_interval(result: dict[str, Any], key: str = "macro_auroc") -> str:
    low, high = result["macro_ci95" if key == "macro_auroc" else "ci95"]
    return f"{result[key]:.3f} ({low:.3f} to {high:.3f})"


def demo_lines(demo: dict[str, Any]) -> list[str]:
    lines = ["## Phantom", "", demo["notice"], "", "| trained on | macro AUROC (95 % interval) |", "|---|---|"]
    lines += [f"| {NAMES[name]} | {with_interval(result)} |" for name, result in demo["zeroshot"].items()]
    size = f"{demo['steps']} steps each, {demo['seconds']:.0f} s and {demo['peak_rss_mb']:.0f} MB in all, one seed"
    return [*lines, "", made_with(demo, size), ""]


def mean_and_spread(runs: list[dict[str, Any]], test: str) -> str:
    areas = [run[test]["macro_auroc"] for run in runs]
    return f"**{statistics.mean(areas):.3f}** (s.d. {statistics.stdev(areas):.3f})"


def real_lines(real: dict[str, Any]) -> list[str]:
    results = real["results"]
    lines = ["## Real radiographs, zero-shot", ""]
    for test, title in TESTS.items():
        first = results["xlip"][0][test]
        seeds = [f"seed {run['seed']}" for run in results["xlip"]]
        lines += [
            f"### {title}",
            "",
            f"{first['images']} images, split {first['split']}, prompts {first['prompts']}, "
            f"preprocessing {first['preprocessing']}. In brackets 95 % intervals over patients.",
            "",
            f"| trained on | {' | '.join(seeds)} | mean of {len(seeds)} seeds |",
            "|---" * (len(seeds) + 2) + "|",
        ]
        for name, runs in results.items():
            cells = [with_interval(run[test]) for run in runs]
            lines.append(f"| {NAMES[name]} | {' | '.join(cells)} | {mean_and_spread(runs, test)} |")
        lines += ["", *(kind_lines(results, test) if len(first["per_kind"]) > 1 else [])]
    minutes = (
        f"{real['minutes']} minutes in all, {max(step['peak_mb'] for step in real['steps'])} MB at most per process"
    )
    lines += [
        made_with(real, minutes, f"{real['jobs']} runs at a time"),
        "",
        "The commands it ran:",
        "",
        "<!-- test: root -->",
        "```sh",
    ]
    return [*lines, *(step["command"] for step in real["steps"]), "```", ""]


def kind_lines(results: dict[str, list[dict[str, Any]]], test: str) -> list[str]:
    """AUROC of each kind: the mean over the seeds, and the interval of the first seed."""
    first = results["xlip"][0][test]
    lines = [f"| kind | positives | {' | '.join(NAMES[name] for name in results)} |", "|---" * (len(results) + 2) + "|"]
    for kind, row in first["per_kind"].items():
        cells = [
            f"{statistics.mean(run[test]['per_kind'][kind]['auroc'] for run in runs):.3f}"
            for runs in results.values()
            if row["auroc"] is not None
        ]
        low, high = row["ci95"]
        if cells and kind not in first["left_out"]:
            cells[0] += f" (seed {results['xlip'][0]['seed']}: {low:.2f} to {high:.2f})"
            lines.append(f"| {kind} | {row['positives']} | {' | '.join(cells)} |")
    left = f"Fewer than 10 positives, not in the mean: {', '.join(first['left_out'])}." if first["left_out"] else ""
    return [*lines, "", left, ""]


SEEN = (
    "Pre-training saw the images of the training part and no label of the set; the share of its labels is all that "
    "fine-tuning knows of them, and training from scratch, which knows nothing else. No validation or test image was "
    "pre-trained on. An AUROC is the mean of the seeds; intervals are over test patients."
)


def finetune_lines(report: dict[str, Any]) -> list[str]:
    """Fine-tuning at shares of the labels, beside zero-shot and the same tower from scratch; then its speed."""
    lines = ["## Real radiographs, fine-tuned", ""]
    if table := report.get("table"):
        lines += [f"Pre-trained as {table['model']}. {SEEN}", ""]
        for name, starts in table["results"].items():
            title = TESTS[name].split(",")[0]
            lines += set_lines(title, starts, "xlip")
            if "seen" in starts:
                lines += set_lines(f"{title}, pre-trained on all its training labels as prompts", starts, "seen")
        lines += [made_with(table, f"{table['minutes']} minutes of training"), ""]
    for stem, found in report.get("speed", {}).items():
        size = (
            f"ViT-S ({stem} stem), {found['images']} images of 128 px, {found['epochs']} epochs with validation: "
            f"{found['wall_s']:.0f} s ({found['cpu_s']:.0f} s of CPU time), {found['peak_mb']} MB"
        )
        lines += [f"{size}. {made_with(found)}", ""]
    return lines


def folds_lines(report: dict[str, Any]) -> list[str]:
    """Fine-tuning on few labels, every ChestX-ray14 patient held out once."""
    seeds = len(report["table"][-1]["per_seed"])
    lines = [
        "## Real radiographs, fine-tuned: every patient held out once",
        "",
        f"All {report['images']} images of {report['patients']} patients of the ChestX-ray14 part, in "
        f"{report['folds']} folds by patient. For each fold the chain is made anew from the others: {report['model']}; "
        f"then fine-tuning, and the same tower from scratch, {seeds} seeds each. Images are ranked within a fold; an "
        "AUROC is the mean over kinds, folds and seeds; intervals are over patients.",
        "",
        *beside_scratch(report["table"], {row["share"]: row["scratch"] for row in report["table"] if "scratch" in row}),
    ]
    return [*lines, "", report["note"], "", made_with(report), ""]


def set_lines(title: str, starts: dict[str, Any], start: str) -> list[str]:
    """The table of one set: zero-shot, from a start and from scratch."""
    ours = starts[start]
    lines = [f"### {title}: {ours['images']} test images", ""]
    lines += beside_scratch(ours["table"], {row["share"]: row for row in starts["scratch"]["table"]})
    few = f" Not in the macro mean: {', '.join(ours['left_out'])}." if ours["left_out"] else ""
    return [*lines, "", f"Split {ours['split']}, checkpoint {ours['checkpoint']}, seeds {ours['seeds']}.{few}", ""]


def beside_scratch(table: list[dict[str, Any]], scratch: dict[str, dict[str, Any]]) -> list[str]:
    """The rows of a fine-tuning, each with the figure from scratch of its share."""
    from xlip.evaluate.finetuning import table_rows
    from xlip.results.figures import ShareRow

    own = [{name: value for name, value in row.items() if name in ShareRow.model_fields} for row in table]
    header, *rows = table_rows([ShareRow(**row) for row in own])
    header[-1] = "above scratch" if header[-1] == "above baseline" else header[-1]
    lines = ["| " + " | ".join([*header, "from scratch"]) + " |", "|---" * (len(header) + 1) + "|"]
    for row in rows:
        other = scratch.get(row[0])
        spread = f" (s.d. {other['sd']:.3f})" if other and other["sd"] is not None else ""
        cell = f"{other['auroc']:.3f}{spread}" if other and other["auroc"] is not None else ""
        lines.append("| " + " | ".join([*row, cell]) + " |")
    return lines


def readme_lines(
    demo: dict[str, Any], real: dict[str, Any], finetune: dict[str, Any], folds: dict[str, Any]
) -> list[str]:
    """The short table: macro zero-shot AUROC, and in brackets what the intervals of all seeds span."""
    lines = ["| macro zero-shot AUROC | XLIP | pairs only | made by |", "|---|---|---|---|"]
    cells = [with_interval(demo["zeroshot"][name]) for name in NAMES]
    lines.append(
        f"| phantom ({demo['seconds']:.0f} s on {demo['machine']['cores']} cores) | {' | '.join(cells)} | `make demo` |"
    )
    for test, title in TESTS.items():
        cells = []
        for name in NAMES:
            runs = [run[test] for run in real["results"][name]]
            low, high = min(run["macro_ci95"][0] for run in runs), max(run["macro_ci95"][1] for run in runs)
            cells.append(f"{statistics.mean(run['macro_auroc'] for run in runs):.3f} ({low:.3f} to {high:.3f})")
        lines.append(f"| {title} | {' | '.join(cells)} | `make real-mini` |")
    return [*lines, "", *share_lines(finetune["table"]["results"], folds)]


def share_lines(results: dict[str, Any], folds: dict[str, Any]) -> list[str]:
    """The short table of fine-tuning: the least and the largest share of each set, with intervals over patients.

    ChestX-ray14 has in place of its small shares those by which every patient is held out once: five times the test
    images. All shares of both stand in docs/results.md.
    """
    lines = ["| fine-tuned, macro AUROC | images | from XLIP | from scratch |", "|---|---|---|---|"]
    lines += fold_rows(folds)
    for name, starts in results.items():
        scratch = {row["share"]: row for row in starts["scratch"]["table"]}
        title = TESTS[name].split(",")[0]
        shares = [row for row in starts["xlip"]["table"] if row["share"] in scratch]
        shown = shares[-1:] if name == "nih" else [shares[0], shares[-1]]
        lines += [share_row(title, row, scratch[row["share"]]) for row in shown]
    return lines


def fold_rows(report: dict[str, Any]) -> list[str]:
    """The rows of the same table where every patient is held out once."""
    title, shares = "ChestX-ray14 part, by folds", report["table"][1:]
    return [share_row(title, row, row["scratch"]) for row in shares]


def share_row(title: str, row: dict[str, Any], scratch: dict[str, Any]) -> str:
    """One share of one set."""
    cells = [f"{title}, {float(row['share']):.0%} of the labels", f"{row['training_images']:.0f}"]
    cells += [with_interval(one, "auroc") for one in (row, scratch)]
    return f"| {' | '.join(cells)} |"


def pages() -> dict[Path, str]:
    """Every file that this writes, with its text."""
    sections = {
        "demo": demo_lines,
        "real_mini": real_lines,
        "finetune": finetune_lines,
        "finetune_folds": folds_lines,
        "real_open": real_open_lines,
        "ablation_phantom": ablation_lines,
    }
    found = {name: DATA / f"{name}.json" for name in sections}
    reports = {name: json.loads(file.read_text("utf-8")) for name, file in found.items() if file.exists()}
    lines = ["# Results", "", "Macro AUROC. Written by `make results` from the JSON files in `docs/data`.", ""]
    for name, section in sections.items():
        lines += section(reports[name]) if name in reports else [f"{name}: not measured yet.", ""]
    before, rest = (ROOT / "README.md").read_text("utf-8").split(MARKS[0])
    table = "\n".join(readme_lines(*(reports[name] for name in ("demo", "real_mini", "finetune", "finetune_folds"))))
    after = rest.split(MARKS[1])[1]
    return {
        DOCS / "results.md": "\n".join(lines).rstrip() + "\n",
        ROOT / "README.md": f"{before}{MARKS[0]}\n{table}\n{MARKS[1]}{after}",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--demo", type=Path)
    options = parser.parse_args()
    if options.demo:
        take_demo(options.demo)
    for file, text in pages().items():
        file.write_text(text, "utf-8")
        print(f"wrote {file.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
