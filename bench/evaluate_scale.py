"""Memory and resuming of `xlip evaluate` on many images: phantoms, a tiny model, one process per measurement.

`python bench/evaluate_scale.py --images 100000` prepares the phantoms, starts `xlip evaluate`, kills it once some parts
of the embeddings are kept, starts it again, and writes `docs/data/evaluate_scale.json`: seconds, peak memory, and
how many parts the second start found.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

SUITE = """suite: scale
about: Phantoms.
data:
  phantoms: {path: "{root}/phantoms", split: test}
entries:
  zeroshot: {evaluator: zeroshot, data: phantoms}
"""


def model_into(folder: Path) -> None:
    """A tiny model of random weights: what is measured is the evaluation around it."""
    from xlip.batches.processor import XLIPProcessor
    from xlip.batches.tokenizer import train_wordpiece
    from xlip.phantom import generate
    from xlip.train.build import ModelConfig, build_model

    tokenizer = train_wordpiece([generate(number, size=64).report for number in range(60)], vocab_size=400)
    config = ModelConfig(
        image_size=64, width=32, depth=1, heads=2, text_width=32, text_depth=1, text_heads=2, embed_dim=16,
        decoder_width=32, decoder_layers=1, decoder_heads=2, vocab_size=400, max_tokens=48,
    )  # fmt: skip
    build_model(config, XLIPProcessor(tokenizer, 64, "letterbox", 48), 0).save_pretrained(folder)


def evaluate(work: Path, replicates: int, stop_after: int = 0) -> dict[str, Any]:
    """One run in a process of its own; killed once `stop_after` parts are kept, where that is not 0."""
    words = ["evaluate", "--suite", str(work / "scale.yaml"), "--model", str(work / "model"), "--root", str(work)]
    words += ["--replicates", str(replicates), "--out", str(work / "out")]
    parts_before, start = len(list(work.glob("cache/embeddings/*.parts/*"))), time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "xlip.cli", *words],
        env={**os.environ, "XLIP_CACHE": str(work / "cache")},
        stdout=subprocess.DEVNULL,
    )
    while stop_after and process.poll() is None:
        time.sleep(1)
        if len(list(work.glob("cache/embeddings/*.parts/*.safetensors"))) >= stop_after:
            process.send_signal(signal.SIGKILL)
            break
    _, status, used = os.wait4(process.pid, 0)
    return {
        "exit": os.waitstatus_to_exitcode(status),
        "parts_found": parts_before,
        "wall_s": round(time.perf_counter() - start, 1),
        "cpu_s": round(used.ru_utime + used.ru_stime, 1),
        "peak_mb": round(used.ru_maxrss * 1024 / 1e6),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--replicates", type=int, default=100)
    parser.add_argument("--work", type=Path, default=None, help="keep the phantoms here")
    parser.add_argument("--json", type=Path, default=Path("docs/data/evaluate_scale.json"))
    options = parser.parse_args()
    work = options.work or Path(tempfile.mkdtemp())
    work.mkdir(parents=True, exist_ok=True)
    (work / "scale.yaml").write_text(SUITE)
    if not (work / "model").is_dir():
        model_into(work / "model")
    if not (work / "phantoms").is_dir():
        # In a process of its own: what a process has reached counts for those that it starts, too.
        words = ["prepare", "phantom", "--out", str(work / "phantoms"), "--workers", "0", "--holdout", "0.999"]
        words += ["--options.count", str(options.images), "--options.size", "64"]
        subprocess.run([sys.executable, "-m", "xlip.cli", *words], check=True, stdout=subprocess.DEVNULL)
    killed = evaluate(work, options.replicates, stop_after=3)
    resumed = evaluate(work, options.replicates)
    again = evaluate(work, options.replicates)
    metrics = work / "out" / "zeroshot" / "metrics.json"
    found = json.loads(metrics.read_text("utf-8")) if metrics.is_file() else {}
    report = {
        "command": f"python bench/evaluate_scale.py --images {options.images} --replicates {options.replicates}",
        "images": found.get("images"),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "killed": killed,
        "resumed": resumed,
        "from the cache": again,
        "peak_mb_of_this": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6),
    }
    options.json.write_text(json.dumps(report, indent=1) + "\n", "utf-8")
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
