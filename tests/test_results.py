"""The figures that readers see are those of the committed JSON files."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).resolve().parents[1] / "bench"


def test_the_pages_are_up_to_date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCH))
    for file, text in runpy.run_path(str(BENCH / "results.py"))["pages"]().items():
        assert file.read_text("utf-8") == text, f"{file.name}: run `make results`"
    for name in ("facts", "real_open_table"):
        sys.modules.pop(name)


@pytest.mark.parametrize("file", sorted((BENCH.parent / "docs").rglob("*.json")), ids=lambda file: file.name)
def test_every_figure_names_its_command_and_no_private_path(file: Path) -> None:
    text = file.read_text("utf-8")
    assert '"command"' in text
    assert isinstance(json.loads(text), dict)
    assert not any(place in text for place in ("/work/", "/home/", "/root/", "/tmp/"))
