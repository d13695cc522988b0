from __future__ import annotations

from pathlib import Path

import pytest

from tiny import tiny_model
from xlip.preparation.run import prepare


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty prepared phantoms, half of them in the split test."""
    out = tmp_path_factory.mktemp("prepared") / "phantoms"
    prepare("phantom", Path(), out, workers=0, holdout=0.5, options={"count": 60, "size": 64})
    return out


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model on disk."""
    out = tmp_path_factory.mktemp("checkpoint") / "tiny"
    tiny_model().save_pretrained(out)
    return out
