from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest

from xlip.cli import progress as module
from xlip.cli.data import progress_bar
from xlip.cli.progress import plain_line, progress_shown


@pytest.mark.parametrize(
    ("done", "total", "seconds", "line"),
    [
        (2048, 5000, 58.4, "embed: 2,048 of 5,000 images, 35.1 a second, 1 min 24 s left"),
        (10, 100_000, 1.0, "embed: 10 of 100,000 images, 10.0 a second, 2 h 46 min left"),
        (90, 100, 9.0, "embed: 90 of 100 images, 10.0 a second, 1 s left"),
        (5, 0, 1.0, "embed: 5 images, 5.0 a second"),
        (0, 9, 1.0, "embed: 0 of 9 images, 0.0 a second"),
    ],
)
def test_a_line_says_how_far_how_fast_and_how_long_still(done: int, total: int, seconds: float, line: str) -> None:
    assert plain_line("embed", "images", done, total, seconds) == line


def test_without_a_terminal_lines_come_as_time_passes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])
    with progress_shown("embed", "images") as say:
        for done in range(1, 101):
            clock[0] += 1
            say(done, 100)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split()[1] for line in lines] == ["30", "60", "90"]
    assert lines[-1].endswith("10 s left")


@pytest.mark.parametrize("shown", [progress_shown, lambda what, unit: progress_bar(what)])
def test_a_server_without_the_package_of_bars_shows_lines_on_a_terminal_too(
    shown: Callable[[str, str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    monkeypatch.setitem(sys.modules, "rich.progress", None)
    with shown("pull", "films") as say:
        say(1, 2)
