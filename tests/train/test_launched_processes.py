"""Runs on several processes: equal to one process, refused where they would train apart."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from safetensors.torch import load_file

from runs import command, finish, log_rows, prepare_streams, small_run, start
from tiny import tiny_processor
from xlip.batches.batch import Batch
from xlip.batches.streams import BatchSampler
from xlip.batches.study_table import SetConfig, StudyTable
from xlip.errors import XLIPError
from xlip.models.xlip import XLIPModel
from xlip.objectives.registry import OBJECTIVE_DEFAULTS
from xlip.study.prompts import load_prompts
from xlip.train.config import PretrainConfig
from xlip.train.loop import pretrain
from xlip.train.optim import OptimConfig
from xlip.train.processes import start_processes


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return prepare_streams(tmp_path_factory.mktemp("sets"))


@pytest.fixture(scope="module")
def alone(data: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("alone") / "run"
    pretrain(small_run(data, out))
    return out


@pytest.mark.parametrize("launcher", ["torchrun", "accelerate"])
def test_two_processes_train_what_one_trains(launcher: str, data: dict[str, str], alone: Path, tmp_path: Path) -> None:
    config = small_run(data, tmp_path / "run", trackers=["tensorboard"])  # ending them once broke the end of the run
    finish(command(config, processes=2, launcher=launcher))
    assert_equal_runs(alone, tmp_path / "run", 2)


def assert_equal_runs(one: Path, other: Path, ranks: int) -> None:
    """Every logged value within 1e-6 of the loss, and the weights what AdamW makes of that."""
    rows = log_rows(one)
    assert [row["step"] for row in log_rows(other)] == [row["step"] for row in rows]
    for row, found in zip(rows, log_rows(other), strict=True):
        assert found == pytest.approx(row, rel=1e-6, abs=1e-6)
    saved, expected = (load_file(folder / "model.safetensors") for folder in (other, one))
    for name, tensor in expected.items():
        # Running variances of a young stem are large: sums of squares differ in the fifth digit.
        rtol = 1e-4 if name.endswith((".mean", ".variance")) else 1e-5
        assert torch.allclose(saved[name], tensor, rtol=rtol, atol=2e-4), name
    assert json.loads((other / "run.json").read_text())["config"]["ranks"] == ranks
    XLIPModel.from_pretrained(other)


@pytest.mark.slow
def test_a_run_may_change_its_processes_and_workers_at_every_resume(data: dict[str, str], tmp_path: Path) -> None:
    """1, 2, 4 and 3 processes, 0 to 2 workers, one step more each time; the length of the run has no part in a step."""

    def run(name: str, **changes: Any) -> PretrainConfig:
        objectives = {**OBJECTIVE_DEFAULTS, "attmim": {"ramp": 0.0}, "view_contrast": {}}
        return small_run(data, tmp_path / name, objectives=objectives, optim=OptimConfig(warmup_steps=20), **changes)

    pretrain(run("whole"))
    for steps, (ranks, workers) in enumerate([(1, 0), (2, 1), (4, 2), (3, 0)], 1):
        finish(command(run("parts", steps=steps, resume="auto", workers=workers), processes=ranks))
    assert_equal_runs(tmp_path / "whole", tmp_path / "parts", 3)


def rows(batch: Batch, name: str) -> list[tuple[str, int]]:
    return list(zip(getattr(batch, f"{name}_studies"), getattr(batch, f"{name}_seeds").tolist(), strict=True))


@pytest.mark.parametrize("ranks", [1, 2, 3, 4, 7])
def test_ranks_share_the_rows_draws_and_prompts_of_one(ranks: int, data: dict[str, str]) -> None:
    tables = {name: StudyTable([SetConfig(path)], name) for name, path in data.items()}
    mix = {"pairs": 5, "images": 4, "texts": 3}

    def sampler(rank: int, of: int) -> BatchSampler:
        options = {"augment": None, "seed": 3, "rank": rank, "ranks": of}
        return BatchSampler(tables, mix, tiny_processor(), load_prompts("xlip"), ("Effusion",), **options)

    for step in (0, 7):  # the second in a later epoch
        whole = sampler(0, 1)(step)
        shares = [sampler(rank, ranks)(step) for rank in range(ranks)]
        for name in ("image", "report"):
            assert sorted(row for share in shares for row in rows(share, name)) == sorted(rows(whole, name))
        assert max(share.pairs for share in shares) - min(share.pairs for share in shares) <= 1
        assert all(torch.equal(share.prompts.ids, whole.prompts.ids) for share in shares)


def test_processes_that_would_train_apart_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("WORLD_SIZE", "2")
        patch.setattr("xlip.train.processes.PartialState", lambda **_: type("Alone", (), {"num_processes": 1}))
        with pytest.raises(XLIPError, match=r"2 processes were started .* trains among 1.*torchrun"):
            start_processes(60)
    for name, value in {"MASTER_ADDR": "127.0.0.1", "ACCELERATE_USE_CPU": "True"}.items():
        monkeypatch.setenv(name, value)  # what `accelerate launch --cpu --num_processes 2` leaves
    with pytest.raises(XLIPError, match=r"starts only one there; start them by torchrun"):
        start_processes(60)


@pytest.mark.slow
def test_accelerate_on_the_cpu_says_that_it_starts_one_process(data: dict[str, str], tmp_path: Path) -> None:
    words = command(small_run(data, tmp_path / "run"), processes=2, launcher="accelerate")
    words[words.index("--multi_gpu")] = "--cpu"
    assert "xlip: accelerate was asked for several processes on the CPU" in finish(words, expected=1)
    assert not (tmp_path / "run").exists()


def test_a_finished_run_and_one_without_steps_end_well(data: dict[str, str], tmp_path: Path, capfd) -> None:
    from xlip.cli import main

    config = small_run(data, tmp_path / "run", steps=0)
    words = command(config)[3:]
    assert main(words) == 0
    assert "0 steps" in capfd.readouterr().out
    XLIPModel.from_pretrained(tmp_path / "run")
    again = command(replace(config, steps=1, resume="auto"))[3:]
    assert main(again) == main(again) == 0
    assert [row["step"] for row in log_rows(tmp_path / "run")] == [0]


def launched(config: PretrainConfig, ranks: int, port: int) -> list[subprocess.Popen[str]]:
    """Processes that meet, without a launcher that would look after them."""
    words = command(config)
    place = {"WORLD_SIZE": str(ranks), "LOCAL_WORLD_SIZE": str(ranks), "MASTER_ADDR": "127.0.0.1"}
    return [start(words, RANK=str(rank), LOCAL_RANK=str(rank), MASTER_PORT=str(port), **place) for rank in range(ranks)]


def wait_for_rows(out: Path, rows: int, seconds: float = 240) -> None:
    until = time.monotonic() + seconds
    while not (out / "log.jsonl").exists() or len(log_rows(out)) < rows:
        assert time.monotonic() < until
        time.sleep(0.1)


@pytest.mark.slow
def test_where_one_process_is_killed_the_others_leave(data: dict[str, str], tmp_path: Path) -> None:
    config = small_run(data, tmp_path / "run", steps=100_000, checkpoint_every=1)
    processes = launched(config, 2, 29_711)
    wait_for_rows(tmp_path / "run", 2)
    processes[1].kill()
    said, _ = processes[0].communicate(timeout=60)
    assert processes[0].returncode == 2, said
    assert "xlip: another process of this run is gone" in said
    assert "--resume auto" in said.splitlines()[-1]


@pytest.mark.slow
def test_a_signal_to_one_process_stops_all_after_the_same_step(data: dict[str, str], tmp_path: Path) -> None:
    config = small_run(data, tmp_path / "run", steps=100_000, checkpoint_every=0)
    processes = launched(config, 2, 29_712)
    wait_for_rows(tmp_path / "run", 2)
    processes[1].send_signal(signal.SIGUSR1)
    said = [process.communicate(timeout=60)[0] for process in processes]
    assert [process.returncode for process in processes] == [138, 138], said
    (step,) = (tmp_path / "run" / "checkpoints").iterdir()
    done = int(step.name.removeprefix("step-"))
    assert all(f"stopped by signal 10 after {done} of" in one for one in said)


@pytest.mark.slow
def test_torchrun_goes_on_from_the_last_checkpoint_after_a_process_was_killed(
    data: dict[str, str], alone: Path, tmp_path: Path
) -> None:
    config = small_run(data, tmp_path / "run", checkpoint_every=1, resume="auto")
    words = command(config, processes=2)
    words[words.index("--standalone") : words.index("--standalone") + 1] = ["--standalone", "--max-restarts", "2"]
    process = start(words)
    wait_for_rows(tmp_path / "run", 1)
    ranks = [one for one in psutil.Process(process.pid).children() if "xlip.cli" in " ".join(one.cmdline())]
    ranks[-1].kill()
    said, _ = process.communicate(timeout=240)
    assert process.returncode == 0, said
    assert_equal_runs(alone, tmp_path / "run", 2)
