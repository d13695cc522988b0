"""Training runs small enough for tests, in this process and in others."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from tiny import CONFIG
from xlip.batches.streams import Streams
from xlip.batches.study_table import SetConfig
from xlip.preparation.run import prepare
from xlip.train.config import PretrainConfig
from xlip.train.resume import as_written

STREAMS = ("pairs", "images", "texts")
TIMES = ("images_per_s", "share_of_matmul_rate", "data_wait_share")
"""What a log says of the machine, not of the training."""


def prepare_streams(root: Path, count: int = 24) -> dict[str, str]:
    """A prepared set of phantoms for each stream."""
    for number, name in enumerate(STREAMS):
        prepare("phantom", Path(), root / name, workers=0, options={"count": count, "size": 64, "start": 100 * number})
    return {name: str(root / name) for name in STREAMS}


def small_run(data: dict[str, str], out: Path, **changes: Any) -> PretrainConfig:
    """A run of a few steps over three streams."""
    streams = Streams(
        **{name: [SetConfig(path)] for name, path in data.items()}, mix={"pairs": 5, "images": 4, "texts": 3}
    )
    base = PretrainConfig(
        out=str(out), data=streams, model=CONFIG, steps=4, workers=0, log_every=1, checkpoint_every=2, precision="fp32"
    )
    return replace(base, **changes)


def written(config: PretrainConfig, file: Path) -> Path:
    """The config as a file that `--config` reads."""
    file.write_text(yaml.safe_dump(as_written(config)), "utf-8")
    return file


def command(config: PretrainConfig, *, processes: int = 1, launcher: str = "torchrun") -> list[str]:
    """The words that start a run."""
    program = ["-m", "xlip.cli", "pretrain", "--config", str(written(config, Path(config.out + ".yaml")))]
    if processes == 1:
        return [sys.executable, *program]
    more = f"--num_processes {processes} --num_machines 1 --mixed_precision no --dynamo_backend no"
    starts = {
        "torchrun": ["torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)],
        "accelerate": ["accelerate.commands.launch", "--multi_gpu", "--main_process_port", "0", *more.split()],
    }
    return [sys.executable, "-m", *starts[launcher], *program]


def environment(**changes: str) -> dict[str, str]:
    """That of the tests, for a process that shares its cores with others."""
    given = {name: value for name, value in os.environ.items() if name not in ("WORLD_SIZE", "RANK", "MASTER_ADDR")}
    return {**given, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive", **changes}


def start(words: list[str], **changes: str) -> subprocess.Popen[str]:
    """A process whose output is kept."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(words, env=environment(**changes), **pipes)  # type: ignore[call-overload,no-any-return]


def finish(words: list[str], expected: int = 0, seconds: float = 900, **changes: str) -> str:
    """Run to the end; returns what it said."""
    process = start(words, **changes)
    said, _ = process.communicate(timeout=seconds)
    assert process.returncode == expected, said
    return said


def log_rows(out: Path) -> list[dict[str, float]]:
    """The log of a run, less what it says of the machine."""
    rows = [json.loads(line) for line in (out / "log.jsonl").read_text("utf-8").splitlines()]
    return [{name: value for name, value in row.items() if name not in TIMES} for row in rows]
