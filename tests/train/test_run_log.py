from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from xlip.errors import XLIPError
from xlip.train import log
from xlip.train.log import RunLog

VALUES = {"total": 3.0, "contrastive": 3.0, "images_per_s": 5.0, "share_of_matmul_rate": 0.1}


def run(folder: Path, steps: range, **options: Any) -> None:
    with RunLog(folder, {"seed": 0, "resume": True}, facts={"kinds": ["A"]}, enabled=True, steps=9, **options) as kept:
        for step in steps:
            kept.step(step, VALUES, every=3)


def test_without_a_terminal_a_line_tells_how_far_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(0, 1000, 8))
    monkeypatch.setattr(log, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    run(tmp_path, range(9))
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("step 1 of 9: ")
    assert lines[-1].startswith("step 9 of 9: loss 3.000 = contrastive 3.000")
    assert 2 < len(lines) < 9


def test_rows_after_the_checkpoint_are_written_anew(tmp_path: Path) -> None:
    run(tmp_path, range(8))
    before = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in before] == [0, 3, 6]
    run(tmp_path, range(4, 9), rows=before[:2], start=4)
    after = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in after] == [0, 3, 6, 8]
    assert json.loads((tmp_path / "run.json").read_text())["config"]["kinds"] == ["A"]
    assert "resume" not in (tmp_path / "config.yaml").read_text()


class Trackers:
    """An `Accelerator` as far as a log asks it; a tracker that fails at what it is told to."""

    def __init__(self, fails_at: str = "") -> None:
        self.fails_at = fails_at
        self.said: list[object] = []
        self.trackers = [self]

    def _hear(self, what: str, said: object) -> None:
        if what == self.fails_at:
            raise ConnectionError("no route\nto host")
        self.said.append(said)

    def init_trackers(self, name: str) -> None:
        self._hear("start", name)

    def log(self, values: dict[str, float], step: int) -> None:
        self._hear("log", (step, values["total"]))

    def finish(self) -> None:
        self._hear("finish", "end")


def test_trackers_get_what_the_log_gets(tmp_path: Path) -> None:
    trackers = Trackers()
    run(tmp_path, range(9), trackers=trackers)
    assert trackers.said == ["xlip", (0, 3.0), (3, 3.0), (6, 3.0), (8, 3.0), "end"]


def test_a_tracker_that_cannot_start_is_named_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(XLIPError, match=r"trackers: cannot start \(no route to host\); log in to it, or leave it out"):
        run(tmp_path / "run", range(9), trackers=Trackers("start"))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("when", ["log", "finish"])
def test_a_tracker_that_is_lost_ends_no_run(when: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(tmp_path, range(9), trackers=Trackers(when))
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) == 4
    assert capsys.readouterr().err.count("no route to host") == 1


def test_a_log_that_nobody_reads_any_more_ends_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stderr", Gone())
    run(tmp_path, range(9))
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) == 4
