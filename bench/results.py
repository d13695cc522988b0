"""Write docs/results.md from docs/demo.json and, once `make real-mini` was run, docs/real_mini.json.

`--demo FOLDER` first takes the figures of a run of `xlip demo` over into docs/demo.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import time
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parents[1] / "docs"


def take_demo(folder: Path) -> None:
    metrics = json.loads((folder / "metrics.json").read_text("utf-8"))
    head = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
    facts = {
        "command": "make demo",
        "commit": head,
        "date": time.strftime("%Y-%m-%d"),
        "cores": os.cpu_count(),
        "machine": platform.processor(),
    }
    (DOCS / "demo.json").write_text(json.dumps({**facts, **metrics}, indent=1) + "\n", "utf-8")


def demo_lines(demo: dict[str, Any]) -> list[str]:
    lines = [
        "## Phantom",
        "",
        demo["notice"],
        "",
        "| trained on | macro zero-shot AUROC | 95 % interval |",
        "|---|---|---|",
    ]
    for name, result in demo["zeroshot"].items():
        low, high = result["macro_ci95"]
        lines.append(f"| {name} | {result['macro_auroc']:.3f} | {low:.3f} to {high:.3f} |")
    facts = f"commit {demo['commit'][:10]}, {demo['date']}, {demo['steps']} steps each, {demo['cores']} cores"
    return [
        *lines,
        "",
        f"`{demo['command']}`: {facts}, {demo['seconds']} s, {demo['peak_rss_mb']} MB; one seed; {demo['machine']}.",
        "",
    ]


def real_lines(real: dict[str, Any]) -> list[str]:
    tests = ("nih", "kermany")
    lines = ["## Real radiographs", "", "| trained on | " + " | ".join(tests) + " |", "|---|" + "---|" * len(tests)]
    for name, runs in real["results"].items():
        cells = []
        for test in tests:
            figures = [run[test]["macro_auroc"] for run in runs]
            spread = statistics.stdev(figures) if len(figures) > 1 else float("nan")
            cells.append(f"{statistics.mean(figures):.3f} (s.d. {spread:.3f}, {len(figures)} seeds)")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return [*lines, "", f"`{real['command']}`: commit {real['commit'][:10]}, {real['minutes']} minutes.", ""]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--demo", type=Path)
    options = parser.parse_args()
    if options.demo:
        take_demo(options.demo)
    lines = ["# Results", "", "Macro zero-shot AUROC. Written by `make docs` from the JSON files beside it.", ""]
    for name, section in (("demo", demo_lines), ("real_mini", real_lines)):
        file = DOCS / f"{name}.json"
        lines += section(json.loads(file.read_text("utf-8"))) if file.exists() else [f"{name}: not measured yet.", ""]
    (DOCS / "results.md").write_text("\n".join(lines).rstrip() + "\n", "utf-8")
    print(f"wrote {DOCS.name}/results.md")


if __name__ == "__main__":
    main()
