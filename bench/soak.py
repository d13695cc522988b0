"""Kill a training by SIGKILL at random moments until it has ended, again and again: every end must be the same.

Each training goes on by `resume: auto` after each kill. Weights, optimiser and log (less what it says of the machine)
are compared with those of a training that nothing interrupted.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import signal
import tempfile
import time
from pathlib import Path
from typing import Any

from facts import facts
from xlip.batches.streams import Streams
from xlip.batches.study_table import SetConfig
from xlip.files import write_json
from xlip.preparation.run import prepare
from xlip.train.build import ModelConfig
from xlip.train.config import PretrainConfig
from xlip.train.loop import pretrain

STREAMS = ("pairs", "images", "texts")
TRAINING = 0.85
"""Share of the kills that wait until the steps have begun; the others meet the start too."""
TIMES = ("images_per_s", "share_of_matmul_rate", "data_wait_share")
SMALL = ModelConfig(
    image_size=64,
    width=32,
    depth=2,
    heads=2,
    text_width=32,
    text_depth=1,
    text_heads=2,
    embed_dim=16,
    decoder_width=32,
    decoder_layers=1,
    decoder_heads=2,
    vocab_size=400,
    max_tokens=48,
    dropout=0.1,
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    steps, start, chance = options.steps, time.perf_counter(), random.Random(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        config = _config(Path(folder), steps)
        _wait(_child(config(Path(folder) / "whole")))
        expected, kills, ends = _outcome(Path(folder) / "whole", steps), [], []
        while len(kills) < options.kills:
            out = Path(folder) / f"run-{len(ends)}"
            kills += _one_run(config(out), chance, options.kills - len(kills))
            ends.append(_outcome(out, steps) == expected)
            print(f"{len(kills)} kills, {sum(ends)} of {len(ends)} trainings ended equal", flush=True)
            report = {
                "command": f"python bench/soak.py --kills {options.kills} --steps {steps} --seed {options.seed}",
                **facts(),
                "kills": len(kills),
                "while_a_checkpoint_was_written": sum(kill["writing"] for kill in kills),
                "before_the_steps_began": sum(not kill["steps_had_begun"] for kill in kills),
                "trainings": len(ends),
                "ended_equal": sum(ends),
                "seconds": round(time.perf_counter() - start),
                "moments": kills,
            }
            if options.json:  # after every training: what was found is kept where this is stopped
                write_json(options.json, report)
    if not all(ends):
        raise SystemExit(f"{len(ends) - sum(ends)} of {len(ends)} trainings ended otherwise")


def _config(folder: Path, steps: int) -> Any:
    for number, name in enumerate(STREAMS):
        options = {"count": 16, "size": 64, "start": 100 * number}
        prepare("phantom", Path(), folder / name, workers=0, options=options)
    sets = {name: [SetConfig(str(folder / name))] for name in STREAMS}
    streams = Streams(**sets, mix={"pairs": 4, "images": 3, "texts": 3})

    def config(out: Path) -> PretrainConfig:
        return PretrainConfig(
            out=str(out),
            data=streams,
            model=SMALL,
            steps=steps,
            workers=0,
            log_every=1,
            checkpoint_every=1,
            precision="fp32",
            resume="auto",
        )

    return config


def _child(config: PretrainConfig) -> int:
    """A training in a copy of this process: starting Python anew would take most of the time."""
    child = os.fork()
    if child:
        return child
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 2)
    try:
        pretrain(config)
        os._exit(0)
    except BaseException:
        os._exit(1)


def _wait(child: int, how: int = 0) -> bool:
    """Whether it ended by itself, and well; `os.WNOHANG`: so far."""
    found, status = os.waitpid(child, how)
    if found and os.WIFEXITED(status) and os.WEXITSTATUS(status):
        raise SystemExit("a training ended with a fault")
    return bool(found) and os.WIFEXITED(status)


def _one_run(config: PretrainConfig, chance: random.Random, most: int) -> list[dict[str, Any]]:
    """Start and kill until the training has ended; where each kill met it."""
    out, kills = Path(config.out), []
    log, early = out / "log.jsonl", 3.0
    while True:
        before, begun, partial = _inode(log), time.monotonic(), set(out.glob("checkpoints/.step-*"))
        child, training, limit = _child(config), chance.random() < TRAINING, chance.uniform(0, early)
        while len(kills) >= most or time.monotonic() - begun < limit or (training and _inode(log) == before):
            if training and _inode(log) != before:  # the log is written anew as the steps begin
                training, begun, limit = False, time.monotonic(), chance.uniform(0, early)
            if _wait(child, os.WNOHANG):
                return kills
            time.sleep(0.01)
        os.kill(child, signal.SIGKILL)
        if _wait(child):
            return kills
        logged = len(log.read_text("utf-8").splitlines()) if log.exists() else 0
        writing = bool(set(out.glob("checkpoints/.step-*")) - partial)
        kills.append({"logged": logged, "steps_had_begun": _inode(log) != before, "writing": writing})


def _inode(file: Path) -> int:
    return file.stat().st_ino if file.exists() else 0


def _outcome(run: Path, steps: int) -> dict[str, Any]:
    last = run / "checkpoints" / f"step-{steps:08d}"
    files = (run / "model.safetensors", last / "model.safetensors", last / "optimizer.safetensors")
    rows = [json.loads(line) for line in (run / "log.jsonl").read_text("utf-8").splitlines()]
    return {
        "hashes": [hashlib.sha256(file.read_bytes()).hexdigest() for file in files],
        "log": [{name: value for name, value in row.items() if name not in TIMES} for row in rows],
    }


if __name__ == "__main__":
    main()
