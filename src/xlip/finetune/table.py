"""The table of a fine-tuning: mean and s.d. over seeds, with intervals over patients, and differences on the same."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from xlip.finetune.cell import Scored
from xlip.finetune.run import FineTuned
from xlip.metrics.comparison import paired_bootstrap
from xlip.metrics.kinds import kind_table
from xlip.results.typed import finite

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Sample:
    """Scores of the same test images for one share: one set per seed."""

    rows: Array
    """(n,) row numbers of the set, sorted."""
    per_seed: dict[int, Array]
    """Seed -> (n, K)."""

    @property
    def scores(self) -> Array:
        """(seeds, n, K)."""
        return np.stack(list(self.per_seed.values()))

    @property
    def mean(self) -> Array:
        """(n, K) mean probability over the seeds: the scores of an ensemble."""
        averaged: Array = self.scores.mean(0)
        return averaged


def sample(cells: Sequence[Scored], *, validation: bool = False) -> Sample:
    """The cells of one share, the folds of a seed put together; of the test images or of the validation part."""
    seeds: dict[int, tuple[Array, Array]] = {}
    for seed in dict.fromkeys(scored.cell.seed for scored in cells):
        own = [scored for scored in cells if scored.cell.seed == seed]
        rows = np.concatenate([scored.validation if validation else scored.test for scored in own])
        scores = np.concatenate([scored.validation_scores if validation else scored.scores for scored in own])
        order = np.argsort(rows, kind="stable")
        seeds[seed] = rows[order], scores[order]
    rows = next(iter(seeds.values()))[0]
    return Sample(rows, {seed: scores for seed, (_, scores) in seeds.items()})


def result_table(done: FineTuned, *, replicates: int = 1000, seed: int = 0) -> list[dict[str, Any]]:
    """One row per share, small ones first, after zero-shot where training started from it.

    Each has `auroc` (mean over the seeds) with its patient interval `ci95`, `sd` and `per_seed`, `over_zero_shot`
    (difference of these means, interval, p), and `auroc_of_mean`, that of the seeds' mean scores: an ensemble.
    """
    rows = []
    start = sample([done.zero_shot]) if done.zero_shot else None
    if start is not None:
        rows.append(_row(done, start, None, "zero-shot", replicates, seed))
    for fraction in sorted({scored.cell.fraction for scored in done.cells}):
        own = [scored for scored in done.cells if scored.cell.fraction == fraction]
        row = _row(done, sample(own), start, f"{fraction:.4g}", replicates, seed)
        row["training_images"] = round(statistics.mean(scored.facts["training_images"] for scored in own), 1)
        row["kept_steps"] = [scored.facts["kept_step"] for scored in own]
        row["seconds"] = round(sum(scored.facts["seconds"] for scored in own), 1)
        rows.append(row)
    return rows


def _row(done: FineTuned, ours: Sample, start: Sample | None, share: str, replicates: int, seed: int) -> dict[str, Any]:
    labels, patients = done.truth[ours.rows], done.data.patients[ours.rows]
    row: dict[str, Any] = {"share": share, **figures(labels, ours, patients, replicates=replicates, seed=seed)}
    if start is not None:
        gain = difference(labels, ours.scores, start.scores, patients, replicates=replicates, seed=seed)
        row["over_zero_shot"] = gain
    return row


def figures(labels: Array, ours: Sample, patients: Array, *, replicates: int = 1000, seed: int = 0) -> dict[str, Any]:
    """Macro AUROC of one share: `auroc` (mean over the seeds), its `ci95`, `sd`, `per_seed` and `auroc_of_mean`.

    Args:
        labels: (n, K) of 1, 0, -1, of the same images as the scores.
        ours: scores of every seed.
        patients: (n,).
        replicates: of the bootstrap over patients.
        seed: of the bootstrap.
    """
    per_seed = {number: _macro(labels, scores) for number, scores in ours.per_seed.items()}
    measured = kind_table(labels, ours.scores, patients, replicates=replicates, seed=seed)
    known = [value for value in per_seed.values() if value is not None]
    return {
        "auroc": finite(measured.macro_auroc),
        "ci95": [finite(bound) for bound in measured.macro_ci95],
        "sd": statistics.stdev(known) if len(known) > 1 else None,
        "per_seed": {str(number): value for number, value in per_seed.items()},
        "auroc_of_mean": _macro(labels, ours.mean),
    }


def difference(
    labels: Array, ours: Array, theirs: Array, patients: Array, *, replicates: int = 1000, seed: int = 0
) -> dict[str, Any]:
    """Macro AUROC of ours less theirs, each (seeds, n, K) of the same images and averaged over its seeds: difference,
    ci95, p (paired patient bootstrap).
    """
    found = paired_bootstrap(labels, ours, theirs, patients, replicates=replicates, seed=seed).macro
    return {
        "difference": finite(found.difference),
        "ci95": [finite(bound) for bound in found.ci95],
        "p": finite(found.p),
    }


def _macro(labels: Array, scores: Array) -> float | None:
    value: float | None = finite(kind_table(labels, scores, np.arange(len(labels)), replicates=1).macro_auroc)
    return value
