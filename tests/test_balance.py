"""Every test runs once, the tests of a file in one worker and in their order, the longest file first."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from balance import APART, file_of, longest_first, piece_of

NODES = ["a.py::one", "b.py::one", "a.py::two[x::y]", "c.py::one", "b.py::two"]


def test_files_stay_whole_and_the_longest_or_unknown_comes_first() -> None:
    order = longest_first(NODES, {"a.py": 1.0, "b.py": 5.0})
    assert [NODES[place] for place in order] == [NODES[3], NODES[1], NODES[4], NODES[0], NODES[2]]
    assert longest_first(NODES, {}) == [0, 1, 2, 3, 4]


def test_a_piece_is_a_file_or_a_test_of_a_file_that_shares_nothing() -> None:
    assert piece_of(NODES[2]) == file_of(NODES[2]) == "a.py"
    for file in APART:
        assert (Path(__file__).parents[1] / file).is_file()
        assert piece_of(f"{file}::test[{file}]") == f"{file}::test[{file}]"


TESTS = """
import os, pytest
@pytest.mark.parametrize("number", range(4))
def test_place(number):
    with open("seen", "a") as file:
        file.write(f"{__name__} {number} {os.environ['PYTEST_XDIST_WORKER']}\\n")
"""


def test_two_workers_take_whole_files_and_remember_their_seconds(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("xdist")
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    pytester.makeconftest('pytest_plugins = ["balance"]\n')
    names = ["test_one", "test_two", "test_three"]
    pytester.makepyfile(**dict.fromkeys(names, TESTS))
    done = pytester.runpytest_subprocess(
        "-n", "2", f"--rootdir={pytester.path}", "-o", f"pythonpath={Path(__file__).parent}"
    )
    done.assert_outcomes(passed=12)
    seen = [line.split() for line in (pytester.path / "seen").read_text().splitlines()]
    for name in names:
        assert [int(number) for file, number, _ in seen if file == name] == [0, 1, 2, 3]
        assert len({worker for file, _, worker in seen if file == name}) == 1
    (kept,) = pytester.path.glob(".pytest_cache/v/xlip/seconds_of_files")
    assert set(json.loads(kept.read_text())) == {f"{name}.py" for name in names}
