"""What exporting costs and brings: agreement, sizes, images a second, int8, seconds until the first answer.

`python bench/export.py` trains a small model on phantoms, exports it and a ViT-B/16 with weights at random (whose speed
and size are those of a trained one), and writes `docs/data/export.json`. Images a second are the best of some rounds in
which ONNX Runtime and torch take turns, so that other work on the machine meets both; threads: `--threads` of each.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
ANSWER = """
import sys, time
from xlip.cli.encoders import open_encoder
model = open_encoder(sys.argv[1])
import numpy as np
model.encode_squares(np.zeros((1, model.image_size, model.image_size), np.uint8)), model.encode_texts(["effusion"])
if model.has_maps:
    model.maps(np.zeros((1, model.image_size, model.image_size), np.uint8), np.ones((1, model.width), np.float32))
assert ("torch" in sys.modules) == (sys.argv[2] == "torch")
"""


def trained(folder: Path, steps: int, images: dict[str, int]) -> Path:
    """A small model that knows something of phantoms, and a set that it never saw."""
    from xlip.batches.streams import Streams
    from xlip.batches.study_table import SetConfig
    from xlip.preparation.run import prepare
    from xlip.train.build import ModelConfig
    from xlip.train.config import PretrainConfig
    from xlip.train.loop import pretrain

    start = 0
    for name, count in images.items():
        prepare("phantom", Path(), folder / name, workers=0, options={"count": count, "size": 64, "start": start})
        start += count
    sets = [SetConfig(str(folder / "train"))]
    model = ModelConfig(
        image_size=64, patch_size=8, width=96, depth=2, heads=4, text_width=96, text_depth=1, text_heads=4,
        embed_dim=64, stem="conv", decoder_width=32, decoder_layers=1, decoder_heads=4, vocab_size=1024, max_tokens=64,
    )  # fmt: skip
    terms: dict[str, Any] = {"contrastive": {}, "image_kind": {}, "local_kind": {}}
    streams = Streams(pairs=sets, images=sets, mix={"pairs": 12, "images": 36})
    out = folder / "small"
    pretrain(PretrainConfig(out=str(out), data=streams, model=model, objectives=terms, steps=steps, workers=0))
    return out


def vit_b(folder: Path) -> Path:
    """ViT-B/16 at 224 px beside a text tower of BERT's base size, with weights at random."""
    from xlip.batches.processor import XLIPProcessor
    from xlip.batches.tokenizer import train_wordpiece
    from xlip.phantom import generate
    from xlip.train.build import ModelConfig, build_model

    config = ModelConfig(
        image_size=224, patch_size=16, width=768, depth=12, heads=12, text_width=768, text_depth=12, text_heads=12,
        embed_dim=512, stem="patch", vocab_size=8192, max_tokens=128, local=False,
    )  # fmt: skip
    tokenizer = train_wordpiece((generate(number, size=64).report for number in range(400)), vocab_size=8192)
    model = build_model(config, XLIPProcessor(tokenizer, 224, "letterbox", 128), 0)
    model.save_pretrained(folder / "vit_b")
    return folder / "vit_b"


def exported(model: Path, out: Path, data: Path | None, *, int8: bool) -> dict[str, Any]:
    from xlip.export.run import ExportConfig, export

    found = export(
        ExportConfig(str(model), str(out), data=str(data or ""), int8=int8, format="onnx" if int8 else "both")
    )
    said = found.parity.to_json()
    said["auroc"] = {form: round(areas["macro"], 4) for form, areas in said["auroc"].items()}
    megabytes = {name: round(size / 1e6, 2) for name, size in found.facts.bytes.items()}
    return {"megabytes": megabytes, "int8_costs_auroc": found.parity.lost("int8"), **said}


def rates(ways: dict[str, Any], batch: int, rounds: int) -> dict[str, float]:
    """Images a second of each encoder."""
    import numpy as np

    side = next(iter(ways.values())).image_size
    squares = np.random.default_rng(0).integers(0, 256, (batch, side, side), np.uint8)
    best = dict.fromkeys(ways, float("inf"))
    for _ in range(rounds):
        for name, encoder in ways.items():
            best[name] = min(best[name], timed(lambda encoder=encoder: encoder.encode_squares(squares)))
    return {name: round(batch / seconds, 2) for name, seconds in best.items()}


def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def cold(model: Path, package: str, rounds: int) -> dict[str, float]:
    """Seconds from the start of a process to its first image, text and map; and its processor seconds."""
    import resource

    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "HF_HUB_OFFLINE": "1"}
    walls, cpus = [], []
    for _ in range(rounds):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        words = [sys.executable, "-c", ANSWER, str(model), package]
        walls.append(timed(lambda words=words: subprocess.run(words, env=environment, check=True)))
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpus.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return {"wall_min": round(min(walls), 2), "cpu_min": round(min(cpus), 2)}


def measured(model: Path, folder: Path, data: Path | None, batches: tuple[int, ...], rounds: int) -> dict[str, Any]:
    from xlip.evaluate.adapter import load_model
    from xlip.evaluate.encoder import TorchEncoder
    from xlip.runtime.exported import ExportedModel

    places = {form: folder / f"{model.name}-{form}" for form in ("onnx", "int8")}
    found: dict[str, Any] = {form: exported(model, place, data, int8=form == "int8") for form, place in places.items()}
    ways: dict[str, Any] = {form: ExportedModel.open(place) for form, place in places.items()}
    ways["torch"] = TorchEncoder(load_model(str(model)))
    for encoder in ways.values():
        encoder.encode_squares(_blank(encoder.image_size))  # what the first call costs is `cold`
    found["images_per_s"] = {str(batch): rates(ways, batch, rounds) for batch in batches}
    found["first_answer_s"] = {form: cold(place, "onnx", 3) for form, place in places.items()}
    found["first_answer_s"]["torch"] = cold(model, "torch", 2)
    return found


def _blank(side: int) -> Any:
    import numpy as np

    return np.zeros((1, side, side), np.uint8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--images", type=int, nargs=2, default=(600, 1500), metavar=("TEST", "TRAIN"))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", choices=("small", "vit_b"), default=None)
    parser.add_argument("--out", default=str(ROOT / "docs" / "data" / "export.json"))
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    import torch

    from facts import this_run

    torch.set_num_threads(options.threads)
    report: dict[str, Any] = {**this_run(), "threads": options.threads}
    if Path(options.out).is_file() and options.only:
        report = {**json.loads(Path(options.out).read_text("utf-8")), **report}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        report["load"] = round(os.getloadavg()[0], 1)
        if options.only != "vit_b":
            model = trained(folder, options.steps, dict(zip(("test", "train"), options.images, strict=True)))
            report["small"] = measured(model, folder, folder / "test", (1, 64), options.rounds)
        if options.only != "small":
            report["vit_b_16_224"] = measured(vit_b(folder), folder, None, (1, 8), options.rounds)
    Path(options.out).write_text(json.dumps(report, indent=1) + "\n", "utf-8")
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
