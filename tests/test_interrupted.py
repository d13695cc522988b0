"""Ctrl-C at any moment at which a command writes: exit code 130, one line, and nothing half-written stays."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from test_damaged_files import CASES, Case, Outcome, called, copied

MOMENTS = ("fsync", "replace", "rename")
"""Functions of `os` by which content reaches its place."""
DEFAULT = ("audit", "tag", "predict-folder", "index")
"""Cheap commands; the slow suite has all of them."""
WITHOUT = {
    "serve": "the test answers in its place",
    "replay": "it writes nothing",
    "push": "it writes nothing here",
    "pacs-pull": "no server answers",
    "pacs-send": "it writes nothing here",
}


@contextmanager
def interrupted(at: int | None) -> Iterator[list[str]]:
    """The names of the moments that came; at the one of that number Ctrl-C arrives, once."""
    came: list[str] = []

    def moment(name: str, real: Callable[..., object]) -> Callable[..., object]:
        def either(*arguments: object, **options: object) -> object:
            came.append(name)
            if at is not None and len(came) == at:
                raise KeyboardInterrupt
            return real(*arguments, **options)

        return either

    with pytest.MonkeyPatch.context() as patch:
        for name in MOMENTS:
            patch.setattr(os, name, moment(name, getattr(os, name)))
        yield came


def run(case: Case, inputs: Path, folder: Path, at: int | None, capfd) -> tuple[Outcome, list[str]]:
    copied(case, inputs, folder / "in")
    with interrupted(at) as came:
        return called(case, folder / "in", folder / "out", capfd), came


def faults(name: str, inputs: Path, folder: Path, capfd, most: int) -> list[str]:
    case = CASES[name]
    whole, came = run(case, inputs, folder / "whole", None, capfd)
    assert came, "it writes nothing: name it in WITHOUT"
    found = []
    for at in sorted({1, len(came) // 2 + 1, len(came)} | set(range(1, most))):
        if at > len(came):
            continue
        place = folder / str(at)
        stopped, _ = run(case, inputs, place, at, capfd)
        where = f"{name}, {came[at - 1]} {at} of {len(came)}"
        if stopped.code != 130:
            found.append(f"{where}: exit code {stopped.code}: {stopped.error[-300:]}")
        if "Traceback" in stopped.said:
            found.append(f"{where}: a traceback")
        left = [path for path in place.rglob("*") if path.name.endswith((".partial", ".old")) and path.exists()]
        if left and not name.startswith("prepare"):  # a set that is being prepared goes on from its finished parts
            found.append(f"{where}: left {[str(path.relative_to(place)) for path in left]}")
        found += [
            f"{where}: {file} is not whole" for file, text in stopped.results.items() if whole.results[file] != text
        ]
    return found


@pytest.mark.parametrize("name", DEFAULT)
def test_an_interrupted_command_leaves_nothing_half_written(name: str, inputs: Path, tmp_path: Path, capfd) -> None:
    assert not (found := faults(name, inputs, tmp_path, capfd, most=0)), "\n".join(found)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(CASES) - set(WITHOUT)))
def test_every_interrupted_command_leaves_nothing_half_written(name: str, inputs: Path, tmp_path: Path, capfd) -> None:
    assert not (found := faults(name, inputs, tmp_path, capfd, most=4)), "\n".join(found)
