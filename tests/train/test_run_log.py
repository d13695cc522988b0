from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

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


def test_trackers_get_what_the_log_gets(tmp_path: Path) -> None:
    class Trackers:
        def __init__(self) -> None:
            self.said: list[object] = []

        def init_trackers(self, name: str) -> None:
            self.said.append(name)

        def log(self, values: dict[str, float], step: int) -> None:
            self.said.append((step, values["total"]))

        def end_training(self) -> None:
            self.said.append("end")

    trackers = Trackers()
    run(tmp_path, range(9), trackers=trackers)
    assert trackers.said == ["xlip", (0, 3.0), (3, 3.0), (6, 3.0), (8, 3.0), "end"]
