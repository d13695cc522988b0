"""`xlip ablate`: train every cell that is not there yet, measure all alike, write the tables."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from xlip.ablation.plan import Cell, Plan, read_plan
from xlip.ablation.tables import Done, write_tables
from xlip.errors import XLIPError
from xlip.evaluate.cases import open_cases
from xlip.evaluate.interaction import probe_cases
from xlip.evaluate.interaction_run import attmim_of, interaction_figures
from xlip.evaluate.zeroshot import ZeroShot
from xlip.files import check_target, reading, whole_folder
from xlip.models.xlip import XLIPModel
from xlip.objectives.registry import build_objectives
from xlip.preparation.run import prepare
from xlip.train.loop import PretrainConfig, pretrain
from xlip.train.options import config_of

SINGLES = 260
"""Phantoms with one finding that the interaction is measured on."""
PROBE_SEED = 1_000_003


@dataclass(frozen=True)
class AblateConfig:
    """`xlip ablate`."""

    plan: str
    """YAML file of variants and seeds, see `configs/ablate`."""
    out: str = "ablation"
    """Folder of the cells, the table and the page."""
    quick: bool = False
    """Lay the file's `quick` part over it: small models, few steps, one seed."""
    replicates: int = 1000
    """Bootstrap replicates over seeds and patients."""
    variants: list[str] = field(default_factory=list)
    """These alone, and the reference; all where none is named. What is trained serves a later call for more."""
    seeds: list[int] = field(default_factory=list)
    """These alone of the plan's; all where none is named."""


def ablate(config: AblateConfig, *, say: Callable[[str], None]) -> Path:
    """Train and measure what is missing, and write `table.parquet`, `table.md` and `index.html` after every cell.

    A cell lies in `cells/HASH`, of its resolved config, seed and data: a second call, or another plan that holds an
    equal cell, trains nothing anew. Returns the page.

    Raises:
        XLIPError: a fault in the plan, or in a cell's config or data.
    """
    plan, out = read_plan(config.plan, quick=config.quick).part(config.variants, config.seeds), Path(config.out)
    check_target(out, folder=True)
    try:
        for cell in plan.cells:
            cell_key(cell)
    except XLIPError as error:  # before any training
        raise XLIPError(f"{config.plan} (its base: {plan.base or 'within'}): {error}") from error
    page = out / "index.html"
    for number, cell in enumerate(plan.cells, 1):
        folder = out / "cells" / cell_key(cell)
        if not (folder / "cell.json").is_file():
            say(f"{number} of {len(plan.cells)}: {cell.variant}, seed {cell.seed}")
            try:
                _train(cell, folder, out, config.quick)
            except XLIPError as error:
                raise XLIPError(f"{config.plan}: {cell.variant}, seed {cell.seed}: {error}") from error
        page = write_tables(plan, finished(plan, out), out, replicates=config.replicates)
    return page


def _train(cell: Cell, folder: Path, out: Path, quick: bool) -> None:
    streams, test = _phantoms(cell, out) if cell.phantom else ({}, cell.test)
    with whole_folder(folder) as partial:
        config = training_config(cell, streams, partial / "run")
        start = time.process_time()
        model = pretrain(config).model
        seconds = time.process_time() - start
        result = ZeroShot(cache=False, replicates=1).run(model, open_cases(test, split=cell.test_split))
        assert result.predictions is not None and result.kinds is not None  # noqa: PT018
        scored = result.predictions
        np.savez(
            partial / "scores.npz",
            scores=scored.scores.astype(np.float32),
            labels=scored.labels,
            patients=np.asarray(scored.patients).astype(str),
        )
        told = {
            "variant": cell.variant,
            "seed": cell.seed,
            "config": dict(cell.config),
            "kinds": list(scored.kinds),
            "cpu_seconds": round(seconds, 1),
            "macro_auroc": result.kinds.macro_auroc,
            "per_kind": {kind: one.auroc for kind, one in result.kinds.per_kind.items()},
            "interaction": _interaction(model, partial / "run", SINGLES // 4 if quick else SINGLES),
        }
        (partial / "cell.json").write_text(json.dumps(told, indent=2, allow_nan=False) + "\n", "utf-8")


def _interaction(model: XLIPModel, run: Path, singles: int) -> dict[str, Any]:
    size = model.image_tower.grid * model.image_tower.patch_size
    cases = probe_cases(size, singles=singles, seed=PROBE_SEED, start=0)
    return interaction_figures(model, cases, attmim_of(str(run)), prompts="xlip")


def cell_key(cell: Cell) -> str:
    """Hash of everything that a cell's figures depend on but the code, with every default filled in: cells that come to
    the same, whatever their names, are trained once.

    Raises:
        XLIPError: as `training_config` and `build_objectives`.
    """
    config = training_config(cell, {}, Path())
    objectives = {one.name: asdict(one) for one in build_objectives(config.objectives)}  # type: ignore[call-overload]
    named = [one.path for stream in (config.data.pairs, config.data.images, config.data.texts) for one in stream]
    held = {path: contents_of(path) for path in (*named, cell.test) if path}
    told = [{**asdict(config), "objectives": objectives}, dict(cell.phantom), cell.test, cell.test_split, held]
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]


def contents_of(path: str) -> str:
    """A digest of what a set on this machine holds: it changes where the set is prepared anew from other studies or in
    another way; '' for a set elsewhere, which its name stands for.

    Of the tables the sizes are taken and of `stats.json`, which counts what they hold, the bytes: reading whole sets
    before every table would cost more than a quick cell.
    """
    place = Path(path)
    if not place.exists():
        return ""
    found = hashlib.sha256()
    for file in sorted(place.rglob("*.parquet")) if place.is_dir() else [place]:
        found.update(f"{file.name} {file.stat().st_size}\n".encode())
    counts = place / "stats.json"
    found.update(counts.read_bytes() if counts.is_file() else b"")
    return found.hexdigest()[:16]


def training_config(cell: Cell, streams: Mapping[str, Any], out: Path) -> PretrainConfig:
    """What `xlip pretrain` would make of a cell.

    Args:
        cell: the cell.
        streams: sets of each stream, laid under those that the cell's config names.
        out: folder of the run.

    Raises:
        XLIPError: an unknown option or a value of another type.
    """
    options = {**cell.config, "data": {**streams, **(cell.config.get("data") or {})}}
    try:
        return config_of({**options, "seed": cell.seed, "out": str(out)})
    except XLIPError as error:
        raise XLIPError(f"ablate: {cell.variant}: {error}") from error


def _phantoms(cell: Cell, out: Path) -> tuple[dict[str, Any], str]:
    """A prepared set of each stream and the held-out one, of phantoms that no other has; made once for each seed."""
    told, start = dict(cell.phantom), 0
    size = told.pop("size")
    folder = out / "data" / f"{size}-{cell.seed}-{'-'.join(str(count) for count in told.values())}"
    for name, count in told.items():
        if count and not (folder / name).exists():
            options = {"count": count, "seed": cell.seed, "size": size, "start": start}
            prepare("phantom", Path(), folder / name, workers=0, options=options)
        start += count
    streams: dict[str, Any] = {name: [{"path": str(folder / name)}] for name in told if name != "test" and told[name]}
    return streams, str(folder / "test")


def finished(plan: Plan, out: Path) -> list[Done]:
    """The cells of a plan that were trained and measured in a folder.

    Raises:
        XLIPError: a cell's files are damaged.
    """
    found = []
    for cell in plan.cells:
        folder = out / "cells" / cell_key(cell)
        if not (folder / "cell.json").is_file():
            continue
        advice = f"remove {folder} to train this cell again"
        with reading(folder / "cell.json", advice):
            told: Mapping[str, Any] = json.loads((folder / "cell.json").read_text("utf-8"))
        file = folder / "scores.npz"
        # Opened here: NumPy leaves a file open that is no archive.
        with reading(file, advice), file.open("rb") as stream, np.load(stream) as arrays:
            scores, labels, patients = (arrays[name] for name in ("scores", "labels", "patients"))
        found.append(Done(cell.variant, cell.seed, told, scores, labels, patients))
    return found
