"""The table of bench/finetune_folds.py: images are ranked within a fold, and every patient is tested once."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from xlip.finetune.cell import Cell, Scored
from xlip.finetune.images import LabelledImages
from xlip.finetune.run import FineTuned
from xlip.study.parquet import read_studies, write_studies
from xlip.study.record import Study

KINDS, SEEDS = ("Effusion", "Mass"), (0, 1)


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parents[1] / "bench"))
    module = importlib.import_module("finetune_folds")
    yield module
    for name in ("facts", "finetune", "finetune_folds", "real_mini", "real_open_table", "recorder", "results"):
        sys.modules.pop(name)


def fine_tuned(fold: int, shift: float) -> FineTuned:
    """60 images of a fold; the seeds' scores are noisy labels, moved by `shift`."""
    rng = np.random.default_rng(fold)
    labels = rng.integers(0, 2, (60, 2)).astype(np.int8)
    ids = np.array([f"{fold}/{number}" for number in range(60)])
    data = LabelledImages("nih", KINDS, ids, ids, np.full(60, "test"), labels, np.zeros((60, 1, 1), np.uint8))
    rows, none = np.arange(60), np.zeros((0, 2))

    def scored(fraction: float, seed: int) -> Scored:
        scores = labels + rng.normal(0, 1, labels.shape) + shift
        return Scored(Cell(fraction, seed), {"training_images": 7}, rows, scores, rows[:0], none)

    return FineTuned(data, [scored(0.1, seed) for seed in SEEDS], scored(0.0, 0), (), {})


def test_scores_of_two_folds_are_not_ranked_against_each_other(bench: ModuleType) -> None:
    done = [{name: fine_tuned(fold, 100.0 * fold) for name in ("xlip", "scratch")} for fold in range(2)]
    found = bench.measured(done)
    areas = [
        roc_auc_score(fold["xlip"].data.codes[:, kind], cell.scores[:, kind])
        for fold in done
        for cell in fold["xlip"].cells
        for kind in range(2)
    ]
    start, tenth = found["table"]
    assert (found["folds"], found["images"], found["patients"]) == (2, 120, 120)
    assert tenth["auroc"] == pytest.approx(np.mean(areas), abs=1e-12)
    assert tenth["over_zero_shot"]["difference"] == pytest.approx(tenth["auroc"] - start["auroc"], abs=1e-12)
    assert tenth["over_baseline"]["difference"] == 0.0
    assert len(tenth["per_seed"]) == len(SEEDS)


def test_every_patient_is_tested_once_and_never_beside_its_own_training_images(
    bench: ModuleType, tmp_path: Path
) -> None:
    labels = [{"Effusion": int(n % 3 == 0), "Mass": int(n % 5 == 0)} for n in range(80)]
    studies = [Study(f"s{n}", f"p{n // 2}", "nih", labels=found) for n, found in enumerate(labels)]
    write_studies(studies, tmp_path / "data" / "nih" / "part-00000.parquet")
    (tmp_path / "data" / "kermany").mkdir()
    tested: list[str] = []
    for folder in bench.divided(tmp_path / "data", tmp_path / "out"):
        parts = {split: set() for split in ("train", "val", "test")}
        for study in read_studies(folder / "nih"):
            parts[study.split].add(study.patient_id)
        assert all(parts.values())
        assert not parts["test"] & (parts["train"] | parts["val"])
        assert not parts["train"] & parts["val"]
        assert (folder / "kermany").is_dir()
        tested += parts["test"]
    assert sorted(tested) == sorted({study.patient_id for study in studies})
