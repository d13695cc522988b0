"""`xlip bench data|step|encode|prepare`: one part measured, with what the machine is, as JSON."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xlip.batches.processor import XLIPProcessor
from xlip.batches.streams import BatchSampler
from xlip.batches.study_table import SetConfig, StudyTable
from xlip.batches.tokenizer import train_wordpiece
from xlip.errors import XLIPError
from xlip.files import check_target, write_json
from xlip.preparation.run import prepare
from xlip.speed.encode import encode_rates
from xlip.speed.made_up import Shape
from xlip.speed.rounds import in_turns, machine_facts
from xlip.speed.step import GOAL_SAME_LOSSES, GOALS, Variants, ratios
from xlip.study.prompts import load_prompts
from xlip.train.build import ModelConfig

SMALLEST = ModelConfig(
    image_size=32, width=32, depth=1, heads=2, text_width=32, text_depth=1, text_heads=2, embed_dim=16,
    decoder_width=32, decoder_layers=1, decoder_heads=2,
)  # fmt: skip


@dataclass(frozen=True)
class BenchConfig:
    """`xlip bench data`, `step`, `encode` and `prepare`."""

    out: str = ""
    """JSON file to write; what is printed is the same."""
    rounds: int = 5
    """Times that each way is measured; the least counts."""
    smallest: bool = False
    """Tiny sizes, which say nothing of speed: whether it can run."""
    data: str = ""
    """`data`: a prepared set to read; default: phantoms made for it."""
    count: int = 200
    """`data` and `prepare`: phantoms."""


def bench(part: str, config: BenchConfig) -> dict[str, Any]:
    """Measure a part, write the JSON file where one is asked for, and return what it says.

    Raises:
        XLIPError: the file cannot be written, or the data not read.
    """
    if config.out:
        check_target(Path(config.out), folder=False)
    if config.rounds < 1 or config.count < 1:
        raise XLIPError(
            f"rounds and count: expected at least 1, got {config.rounds} and {config.count}; take the defaults"
        )
    parts: dict[str, Callable[[BenchConfig], dict[str, Any]]] = {
        "data": _data, "step": _step, "encode": _encode, "prepare": _prepare,
    }  # fmt: skip
    report = {"part": part, "smallest": config.smallest, "machine": machine_facts(), **parts[part](config)}
    if config.out:
        Path(config.out).parent.mkdir(parents=True, exist_ok=True)
        write_json(Path(config.out), report)
    return report


def shape_of(config: BenchConfig) -> Shape:
    """ViT-S/16 at 224 px, a BERT of 6 blocks, 20 images and 20 texts of up to 64 tokens; or very little."""
    if config.smallest:
        return Shape(SMALLEST, pairs=2, lone_images=2, lone_texts=2, tokens=12, shortest=6, kinds=3, vocabulary=200)
    return Shape()


def _step(config: BenchConfig) -> dict[str, Any]:
    shape = shape_of(config)
    found = {kernel: in_turns(Variants(shape, kernel).ways(), config.rounds) for kernel in ("fused", "plain")}
    # Each side with the kernel that is faster for it.
    best = {
        name: min((found[kernel][name] for kernel in found), key=lambda one: one["cpu_seconds"])
        for name in found["fused"]
    }
    goals = {**GOALS, "full, of the same losses in separate passes": GOAL_SAME_LOSSES}
    return {"by_attention_kernel": found, "seconds": best, "ratios": ratios(best), "goals": goals}


def _encode(config: BenchConfig) -> dict[str, Any]:
    return encode_rates(shape_of(config), config.rounds, images=4 if config.smallest else 16)


def _data(config: BenchConfig) -> dict[str, Any]:
    """Batches/s of one process from Parquet, the first time and again."""
    with tempfile.TemporaryDirectory() as folder:
        path = config.data or str(Path(folder) / "set")
        if not config.data:
            prepare("phantom", Path(), Path(path), workers=0, options={"count": config.count, "size": 256})
        start = time.perf_counter()
        tables = {
            name: StudyTable([SetConfig(path)] if name == "pairs" else [], name)
            for name in ("pairs", "images", "texts")
        }
        opened = time.perf_counter() - start
        texts = [*tables["pairs"].reports()][:500]
        processor = XLIPProcessor(train_wordpiece(texts, vocab_size=2000), 224, "letterbox", 64)
        sampler = BatchSampler(
            tables, {"pairs": 20}, processor, load_prompts("xlip"), ("Effusion",), augment=None, seed=0
        )
        steps = max(1, len(tables["pairs"]) // 20)
        rates = []
        for _ in range(2):
            start = time.perf_counter()
            for step in range(steps):
                sampler(step)
            rates.append(round(20 * steps / (time.perf_counter() - start), 1))
    return {
        "open_seconds": round(opened, 3),
        "studies": len(tables["pairs"]),
        "studies_per_s": {"first": rates[0], "again": rates[1]},
    }


def _prepare(config: BenchConfig) -> dict[str, Any]:
    """Phantoms/s from numbers to Parquet, in one process."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        prepare("phantom", Path(), Path(folder) / "set", workers=0, options={"count": config.count, "size": 256})
        seconds = time.perf_counter() - start
        size = sum(file.stat().st_size for file in (Path(folder) / "set").glob("*.parquet"))
    return {
        "studies": config.count,
        "studies_per_s": round(config.count / seconds, 1),
        "bytes_per_study": size // config.count,
    }
