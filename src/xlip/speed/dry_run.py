"""`xlip pretrain --dry_run`: everything up to the first step: data, leaks, kinds, sizes, memory, hours."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from xlip.batches.study_table import StudyTable
from xlip.objectives.registry import build_objectives
from xlip.speed.plan import PlanConfig, planned
from xlip.study.prompts import load_prompts
from xlip.train.build import build_processor, build_tables, training_kinds
from xlip.train.config import PretrainConfig

SAMPLED = 200
"""Reports whose tokens are counted."""


def dry_run(config: PretrainConfig, gflops: float = 0.0) -> dict[str, Any]:
    """What the run would do; nothing is written and no step is made but the small one that finds the machine's rate.

    Raises:
        XLIPError: whatever would stop the run: data, leaks, objectives, checkpoints of towers.
    """
    build_objectives(config.objectives)
    tables = build_tables(config.data)  # audits leaks
    prompts = load_prompts(config.prompts)
    kinds = training_kinds(tables, prompts)
    processor = build_processor(config.model, tables, prompts)
    used = {name: table for name, table in tables.items() if len(table)}
    streams = {name: stream_facts(table, config.data.mix.get(name, 0), config.steps) for name, table in used.items()}
    texts = [text for table in used.values() for text, _ in zip(table.reports(), range(SAMPLED), strict=False)]
    lengths = sorted(processor.texts(texts).lengths.tolist()) if texts else [4]
    model = replace(config.model, vocab_size=len(processor.tokenizer))
    sizes = PlanConfig(
        "", gflops=gflops, kinds=max(len(kinds), 1), report_tokens=min(max(lengths), config.model.max_tokens)
    )
    audited = f"{len(config.data.test_sets)} test sets: nothing of them is trained on" if config.data.test_sets else ""
    return {
        "streams": streams,
        "kinds": kinds,
        "leaks": audited or "not audited: data.test_sets is empty",
        **planned(replace(config, model=model), sizes),
    }


def stream_facts(table: StudyTable, each: int, steps: int) -> dict[str, Any]:
    """Studies of an epoch, those that differ, steps of an epoch, and how often a run sees each."""
    size = len(table)
    different = len({tuple(row) for row in table.rows.tolist()})
    return {
        "studies_per_epoch": size,
        "different_studies": different,
        "studies_per_step": each,
        "steps_per_epoch": math.ceil(size / each) if each else None,
        "epochs": round(steps * each / size, 2) if size else None,
        "fingerprint": table.fingerprint(),
    }
