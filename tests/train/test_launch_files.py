"""The launch files, as far as one machine goes: two local nodes that meet, SLURM's words, accelerate's file."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest
import yaml

from runs import command, environment, finish, log_rows, prepare_streams, small_run, start

LAUNCH = Path(__file__).parents[2] / "configs" / "launch"


def free_port() -> int:
    import socket

    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.mark.slow
def test_two_nodes_of_one_process_each_train_together(tmp_path: Path) -> None:
    data = prepare_streams(tmp_path / "sets", 8)
    config = small_run(data, tmp_path / "run", objectives={"contrastive": {}, "image_kind": {}})
    words = [str(LAUNCH / "node.sh"), *command(config)[4:]]
    place = {"NODES": "2", "DEVICES": "1", "MEET": f"127.0.0.1:{free_port()}", "PYTHON": sys.executable}
    nodes = [start(words, **place) for _ in range(2)]
    said = [one.communicate(timeout=600)[0] for one in nodes]
    assert [one.returncode for one in nodes] == [0, 0], said
    assert [row["step"] for row in log_rows(tmp_path / "run")] == [0, 1, 2, 3]
    run = yaml.safe_load((tmp_path / "run" / "run.json").read_text())
    assert run["config"]["ranks"] == 2


def test_slurm_starts_a_node_on_each_and_asks_for_a_signal_before_the_limit(tmp_path: Path) -> None:
    """With `srun` and `scontrol` that only say what they were told."""
    for name, text in (("srun", 'echo "$NODES $DEVICES $MEET $RUN | $@"'), ("scontrol", 'echo "first\\nsecond"')):
        file = tmp_path / name
        file.write_text(f"#!/bin/bash\n{text.replace('echo', 'echo -e', 1)}\n")
        file.chmod(file.stat().st_mode | stat.S_IEXEC)
    given = {"SLURM_JOB_NODELIST": "n[1-2]", "SLURM_JOB_NUM_NODES": "2", "SLURM_JOB_ID": "77"}
    said = finish(
        ["bash", str(LAUNCH / "pretrain.sbatch"), "--config", "c.yaml", "--out", "o"],
        PATH=f"{tmp_path}:{os.environ['PATH']}",
        **given,
    )
    assert said.startswith("2 8 first:29500 77 | --kill-on-bad-exit=1 ")
    assert said.strip().endswith("node.sh --config c.yaml --out o --resume auto")
    text = (LAUNCH / "pretrain.sbatch").read_text()
    assert "--signal=USR1@" in text
    assert "--requeue" in text


@pytest.mark.slow
def test_accelerates_file_starts_a_training_on_this_machine(tmp_path: Path) -> None:
    data = prepare_streams(tmp_path / "sets", 8)
    config = small_run(data, tmp_path / "run", objectives={"contrastive": {}}, steps=2)
    given = yaml.safe_load((LAUNCH / "accelerate.yaml").read_text())
    here = {"num_machines": 1, "num_processes": 2, "main_process_ip": "127.0.0.1", "main_process_port": free_port()}
    file = tmp_path / "accelerate.yaml"
    file.write_text(yaml.safe_dump({**given, **here}))
    program = ["-m", "accelerate.commands.launch", "--config_file", str(file), *command(config)[1:]]
    finish([sys.executable, *program])
    assert [row["step"] for row in log_rows(tmp_path / "run")] == [0, 1]
    assert environment()["OMP_NUM_THREADS"] == "1"
