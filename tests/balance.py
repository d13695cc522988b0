"""How `pytest -n 2` shares the tests: file by file, the longest of the last run first.

Test by test, as xdist does by default, both workers would build what the tests of a file share. By files the last may
keep one worker busy alone: therefore the longest come first, by the seconds that the cache of pytest remembers.
"""

from __future__ import annotations

import os
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Sequence

SECONDS = "xlip/seconds_of_files"
"""Where pytest's cache holds them."""
APART = ("tests/test_damaged_files.py", "tests/test_interrupted.py", "tests/test_house.py")
"""Long files whose tests share nothing but what all workers share: each test is a piece of its own."""


def file_of(nodeid: str) -> str:
    """The file of a test."""
    return nodeid.partition("::")[0]


def piece_of(nodeid: str) -> str:
    """What goes to one worker as a whole."""
    return nodeid if file_of(nodeid) in APART else file_of(nodeid)


def longest_first(nodeids: Sequence[str], seconds: dict[str, float]) -> list[int]:
    """Places of the tests in a new order: files by their seconds, in each the order that it has.

    A file that nobody has timed comes first: it may be long.
    """
    return sorted(range(len(nodeids)), key=lambda place: -seconds.get(file_of(nodeids[place]), float("inf")))


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Clock(config), "xlip-clock")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if "PYTEST_XDIST_WORKER" in os.environ and getattr(config, "cache", None) is not None:
        known = config.cache.get(SECONDS, {})
        items[:] = [items[place] for place in longest_first([item.nodeid for item in items], known)]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    if config.getvalue("dist") != "load":
        return None  # asked for otherwise
    from xdist.scheduler import LoadScopeScheduling

    class ByPiece(LoadScopeScheduling):
        """Pieces in the order of the tests."""

        def _split_scope(self, nodeid: str) -> str:
            return piece_of(nodeid)

    config.option.loadscopereorder = False
    return ByPiece(config, log)


class _Clock:
    """Remembers how long the tests of each file took."""

    def __init__(self, config: pytest.Config) -> None:
        self.config, self.seconds = config, Counter[str]()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.seconds[file_of(report.nodeid)] += report.duration

    def pytest_sessionfinish(self) -> None:
        if getattr(self.config, "cache", None) is not None and self.seconds:
            known = self.config.cache.get(SECONDS, {})
            found = {file: round(seconds, 1) for file, seconds in self.seconds.items()}
            # Of a run of a part of a file the longer time is nearer to the truth.
            self.config.cache.set(SECONDS, {**known, **{f: max(s, known.get(f, 0) / 2) for f, s in found.items()}})
