"""One export for all tests that need one: tracing takes seconds."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from once import made_once


@dataclass(frozen=True)
class Exported:
    """Where a test finds it."""

    checkpoint: Path
    folder: Path
    """What `xlip export --format both` wrote."""
    phantoms: Path
    """The set that its AUROC was compared on: sixty phantoms, half of them test."""
    tuned: Path
    """A classifier, and what `xlip export --int8` made of it."""
    tuned_graphs: Path


def export_once(factory: pytest.TempPathFactory) -> Exported:
    """Made by the first worker that asks; the others wait for it."""
    return _places(made_once(factory, "exported", lambda root: _make(_places(root))))


def _places(root: Path) -> Exported:
    return Exported(*(root / name for name in ("checkpoint", "graphs", "phantoms", "tuned", "tuned_graphs")))


def _make(place: Exported) -> None:
    from tiny import CONFIG, KINDS, tiny_processor
    from xlip import cli
    from xlip.finetune.classifier import XLIPClassifier
    from xlip.preparation.run import prepare
    from xlip.train.build import build_model

    model = build_model(replace(CONFIG, depth=1), tiny_processor(), 0)
    model.config.local_share = 0.5
    model.save_pretrained(place.checkpoint)
    rule = {"threshold": 0.384136, "of_kind": {}, "chosen_on": "nothing, by a test"}
    (place.checkpoint / "abstention.json").write_text(json.dumps(rule))
    prepare("phantom", Path(), place.phantoms, workers=0, holdout=0.5, options={"count": 60, "size": 64})
    place.tuned.mkdir()
    XLIPClassifier.of(model, KINDS).save_pretrained(place.tuned)
    for source, out, more in (
        (place.checkpoint, place.folder, ["--format", "both"]),
        (place.tuned, place.tuned_graphs, ["--int8"]),
    ):
        words = ["--model", str(source), "--out", str(out), "--data", str(place.phantoms)]
        assert cli.main(["export", *words, *more]) == 0
