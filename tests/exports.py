"""One export for all tests that need one: tracing takes seconds."""

from __future__ import annotations

import fcntl
import os
from dataclasses import dataclass, replace
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Exported:
    """Where a test finds it."""

    checkpoint: Path
    folder: Path
    """What `xlip export --format both` wrote."""
    phantoms: Path
    """The set that its AUROC was compared on: sixty phantoms, half of them test."""


def export_once(factory: pytest.TempPathFactory) -> Exported:
    """Made by the first worker that asks; the others wait for it."""
    base = factory.getbasetemp()
    root = (base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base) / "exported"
    root.mkdir(exist_ok=True)
    found = Exported(root / "checkpoint", root / "graphs", root / "phantoms")
    with (root / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not found.folder.is_dir():
            _make(found)
    return found


def _make(place: Exported) -> None:
    from tiny import CONFIG, tiny_processor
    from xlip import cli
    from xlip.preparation.run import prepare
    from xlip.train.build import build_model

    model = build_model(replace(CONFIG, depth=1), tiny_processor(), 0)
    model.config.local_share = 0.5
    model.save_pretrained(place.checkpoint)
    prepare("phantom", Path(), place.phantoms, workers=0, holdout=0.5, options={"count": 60, "size": 64})
    words = ["--model", str(place.checkpoint), "--out", str(place.folder), "--data", str(place.phantoms)]
    assert cli.main(["export", *words, "--format", "both"]) == 0
