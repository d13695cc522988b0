"""What goes wrong around a run: storage that is full or stuck, spikes of the loss, sets smaller than a step."""

from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from runs import command, finish, log_rows, prepare_streams, small_run
from tiny import tiny_processor
from xlip.batches.streams import BatchSampler
from xlip.batches.study_table import SetConfig, StudyTable
from xlip.cli import main
from xlip.errors import XLIPError
from xlip.study.prompts import load_prompts
from xlip.train import checkpoint, session
from xlip.train.faults import Spikes, studies_of
from xlip.train.loader import batches
from xlip.train.loop import pretrain
from xlip.train.step import train_step


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Three studies of each stream: fewer than a step takes."""
    return prepare_streams(tmp_path_factory.mktemp("sets"), 3)


def test_a_spike_is_written_down_with_the_studies_of_all_its_step(
    data: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    seen: list[list[str]] = []

    def stepping(trainer: Any, batch: Any, *rest: Any) -> dict[str, float]:
        values = train_step(trainer, batch, *rest)
        seen.append(studies_of(batch))
        return {**values, "total": 1e3} if len(seen) == 4 else values

    monkeypatch.setattr(session, "train_step", stepping)
    monkeypatch.setattr(Spikes, "FEWEST", 3)
    pretrain(small_run(data, tmp_path / "run", objectives={"contrastive": {}}, steps=5, checkpoint_every=0))
    (row,) = map(json.loads, (tmp_path / "run" / "spikes.jsonl").read_text().splitlines())
    assert (row["step"], row["total"], row["studies"]) == (3, 1e3, seen[3])
    assert row["expected"] == pytest.approx(sum(one["total"] for one in log_rows(tmp_path / "run")[:3]) / 3)
    assert "step 3: loss 1000.000 where" in capfd.readouterr().err


def test_a_full_disk_ends_in_one_line_and_the_run_goes_on_from_before(
    data: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = small_run(data, tmp_path / "run", objectives={"contrastive": {}}, steps=3, checkpoint_every=1)
    write, written = checkpoint.write_sums, []

    def full(folder: Path, *rest: Any) -> None:
        written.append(folder)
        if len(written) == 2:
            raise OSError(28, "No space left on device")
        write(folder, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "write_sums", full)
        assert main(command(config)[3:]) == 2
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert line.startswith(f"xlip: {tmp_path}/run/checkpoints/step-00000002: cannot write (No space left on device)")
    assert [one.name for one in (tmp_path / "run" / "checkpoints").iterdir()] == ["step-00000001"]
    assert main([*command(config)[3:], "--resume", "auto"]) == 0
    assert [row["step"] for row in log_rows(tmp_path / "run")] == [0, 1, 2]


def test_a_set_smaller_than_a_step_gives_each_study_equally_often(data: dict[str, str]) -> None:
    tables = {name: StudyTable([SetConfig(path)], name) for name, path in data.items()}
    sampler = BatchSampler(
        tables, {"pairs": 7, "texts": 3}, tiny_processor(), load_prompts("xlip"), ("Effusion",), augment=None, seed=0
    )
    drawn = Counter(study for step in range(3) for study in sampler(step).image_studies)
    assert drawn == dict.fromkeys(drawn, 7)
    assert len(drawn) == 3


class Stuck:
    """A sampler whose storage does not answer."""

    def __call__(self, step: int) -> Any:
        time.sleep(60)


def test_a_stuck_worker_is_one_line_with_the_limit() -> None:
    with (
        pytest.raises(XLIPError, match=r"no batch within 1 s: .*--resume auto; --worker_timeout sets the limit"),
        batches(Stuck(), 0, 2, workers=1, timeout=1) as made,  # type: ignore[arg-type]
    ):
        next(made)


@pytest.mark.slow
def test_a_rank_without_a_pair_changes_nothing(data: dict[str, str], tmp_path: Path) -> None:
    """One pair, one image and one report a step, of two processes."""
    runs = []
    for name, ranks in (("one", 1), ("two", 2)):
        config = small_run(data, tmp_path / name, steps=2)
        config.data.mix.update(dict.fromkeys(("pairs", "images", "texts"), 1))
        finish(command(config, processes=ranks))
        runs.append(log_rows(tmp_path / name))
    for one, two in zip(*runs, strict=True):
        assert two == pytest.approx(one, rel=1e-5, abs=1e-6)
