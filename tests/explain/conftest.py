from __future__ import annotations

from pathlib import Path

import pytest

from tiny import tiny_model


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model with a local head, on disk."""
    out = tmp_path_factory.mktemp("explain") / "tiny"
    tiny_model().save_pretrained(out)
    return out
