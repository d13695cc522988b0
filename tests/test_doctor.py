"""`xlip doctor` names what a command lacks and the words that mend it, from the package's own requirements."""

from __future__ import annotations

import importlib.metadata
import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.version import Version

from xlip import doctor
from xlip.cli import COMMANDS, main

LINES = [
    "numpy<3,>=2.1",
    'pylibjpeg[all]>=2; extra == "data"',
    'torch>=999; extra == "train"',
    'no-such-package>=1; extra == "train"',
    'xlip[data]; extra == "train"',
    "fastapi>=0.1; extra == 'serve'",
]


@pytest.fixture
def required(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: LINES)


def test_extras_that_name_extras_are_followed(required: None) -> None:
    assert doctor.needed_by("train", doctor.requirements()) == {
        "numpy": "2.1",
        "torch": "999",
        "no-such-package": "1",
        "pylibjpeg": "2",
    }
    assert doctor.needed_by("", doctor.requirements()) == {"numpy": "2.1"}


def test_what_is_missing_or_too_old_is_named_with_a_remedy(required: None) -> None:
    rows = {command: (lacking, remedy) for command, lacking, remedy in doctor.missing({"a": "train", "b": "serve"})}
    lacking, remedy = rows["a"]
    assert lacking[0] == "no-such-package"
    assert lacking[1].startswith("torch ")
    assert "at least 999" in lacking[1]
    assert remedy == "pip install 'xlip[train]'"
    assert rows["b"] == ([], "")


def test_the_exit_code_is_that_of_the_named_command(required: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    assert main(["doctor", "--command", "zeroshot"]) == 1
    assert main(["doctor", "--command", "serve"]) == 0
    capsys.readouterr()
    assert main(["doctor", "--command", "nothing"]) == 2
    assert "expected a command, one of" in capsys.readouterr().err


def test_every_extra_of_a_command_is_one_of_the_package() -> None:
    import tomllib
    from pathlib import Path

    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text("utf-8"))["project"]
    assert {one.extra for one in COMMANDS.values()} <= {"", *project["optional-dependencies"]}


def test_machine_versions_threads_and_space_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    facts, commands = found["tables"]
    said = dict(facts["rows"])
    assert {"system", "processor", "memory", "Python", "computes on", "number format of training"} <= set(said)
    assert str(said["numpy"]) == importlib.metadata.version("numpy")
    assert sum(name.startswith("free at ") for name in said) == 3
    assert [row[0] for row in commands["rows"]] == list(COMMANDS)


def test_little_space_and_spinning_threads_are_advised_against(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_spaces", lambda: [("cache", "/c", 1e9), ("work", "/w", 1e12)])
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    monkeypatch.setenv("OMP_NUM_THREADS", str((os.cpu_count() or 1) + 1))
    lines = doctor.advice()
    assert any("XLIP_CACHE" in line and "/c" in line for line in lines)
    assert not any("/w" in line for line in lines)
    assert any("OMP_WAIT_POLICY" in line for line in lines)
    assert any("OMP_NUM_THREADS" in line for line in lines)


@given(*[st.lists(st.integers(0, 30), min_size=1, max_size=4)] * 2)
def test_versions_are_ordered_as_the_standard_orders_releases(one: list[int], other: list[int]) -> None:
    a, b = (".".join(map(str, numbers)) for numbers in (one, other))
    assert (doctor._numbers(a) < doctor._numbers(b)) == (Version(a) < Version(b))
    assert doctor._numbers(f"{a}+cpu") == doctor._numbers(a)
