from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

import xlip
from runs import finish

BENCH = Path(xlip.__file__).parents[2] / "bench" / "soak.py"


@pytest.mark.slow
def test_ten_kills_at_random_moments_change_nothing(tmp_path: Path) -> None:
    words = ["--kills", "10", "--steps", "6", "--json", str(tmp_path / "soak.json")]
    finish([sys.executable, str(BENCH), *words], seconds=900)
    found = json.loads((tmp_path / "soak.json").read_text())
    assert found["kills"] == len(found["moments"]) == 10
    assert found["ended_equal"] == found["trainings"] > 0
