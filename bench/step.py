"""Seconds of a training step beside plain code: `python bench/step.py --json docs/data/step_speed.json`.

ViT-S/16 at 224 px, a BERT of 6 blocks, reports of 16 to 64 tokens, 20 images and 20 texts a step, fp32; all ways
in turns; the least CPU seconds of each count, so that other work on the machine matters little. See `xlip.speed.step`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from facts import this_run
from xlip.files import write_json
from xlip.speed.run import BenchConfig, bench


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--encode", action="store_true", help="encoding images as well")
    options = parser.parse_args()
    report = {**this_run(), "step": bench("step", BenchConfig(rounds=options.rounds))}
    if options.encode:
        report["encode"] = bench("encode", BenchConfig(rounds=options.rounds))
    for name, ratio in report["step"]["ratios"].items():
        print(f"{name}: {ratio} (goal {report['step']['goals'][name]})")
    if options.json:
        write_json(options.json, report)


if __name__ == "__main__":
    main()
