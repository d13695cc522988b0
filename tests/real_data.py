"""Where tests find the real data sets, which users do not have."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from xlip.reports.sections import clean, compose_sections

ROOT = Path(os.environ.get("XLIP_DATA", Path(__file__).parents[2] / "shared" / "data"))


def real_data(name: str) -> Path:
    """The folder or file `name` of the real data; skips the test where it is absent."""
    path = ROOT / name
    if not path.exists():
        pytest.skip(f"no real data at {path}; set XLIP_DATA to the folder that holds them")
    return path


def open_i_report(row: Mapping[str, str]) -> str | None:
    """The report of a row of Open-i's table."""
    return compose_sections({name: clean(row[name]) or "" for name in ("findings", "impression")})
