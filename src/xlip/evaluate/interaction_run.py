"""`xlip probe`: every figure of the interaction for one run, as JSON and a table."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from xlip.errors import XLIPError
from xlip.evaluate.interaction import ProbeCases, map_figures, probe_cases
from xlip.evaluate.listening import reconstruction_figures, side_auroc, word_figures
from xlip.files import check_target, reading, write_whole
from xlip.identity import checkpoint_id
from xlip.models.loading import load_checked
from xlip.models.xlip import XLIPModel
from xlip.objectives.attmim import AttMIM
from xlip.phantom import PHANTOM_NOTICE
from xlip.shipped import model_place

RATIOS = {"quarter": 0.25, "half": 0.5}
HEADER = ("figure", "value", "95 % interval")


@dataclass(frozen=True)
class InteractionConfig:
    """`xlip probe`."""

    run: str
    """Folder of a run or a saved model, a hub id, or `phantom`, the model of the package."""
    out: str = ""
    """Folder of `interaction.json` and its page; default: the run's own."""
    singles: int = 260
    """Phantoms with one finding alone; those drawn on the way, with none or several, are used too where they serve."""
    seed: int = 1_000_003
    """Series of the phantoms: one that no training draws from by accident."""
    prompts: str = "xlip"
    """Prompt set that findings are asked by."""


def probe(config: InteractionConfig) -> dict[str, Any]:
    """Measure, and write `interaction.json`.

    Raises:
        XLIPError: no model there, or nowhere to write to.
    """
    folder = Path(config.out or config.run)
    if not config.out and not folder.is_dir():
        raise XLIPError(f"{config.run}: no folder to write to; name one with --out")
    check_target(folder, folder=True)
    if config.singles < 2:
        raise XLIPError(f"probe.singles: expected at least 2, got {config.singles}")
    model = load_checked(config.run)
    size = model.image_tower.grid * model.image_tower.patch_size
    cases = probe_cases(size, singles=config.singles, seed=config.seed, start=0)
    figures = {
        "checkpoint": checkpoint_id(config.run),
        "phantoms": {"seed": config.seed, "count": len(cases.phantoms), "with_one_finding": len(cases.single)},
        **interaction_figures(model, cases, attmim_of(config.run), prompts=config.prompts),
        "notice": PHANTOM_NOTICE,
    }
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / "interaction.json", (json.dumps(figures, indent=2, allow_nan=False) + "\n").encode())
    return figures


def interaction_figures(model: XLIPModel, cases: ProbeCases, attmim: AttMIM, *, prompts: str) -> dict[str, Any]:
    """Figures of maps and masks, of reconstructions, of hidden words and of sides; see their functions."""
    return {
        "maps": map_figures(model, cases, mode=attmim.mode, prompts=prompts),
        "reconstruction": {
            name: reconstruction_figures(model, cases, where=attmim.where, target=attmim.target, ratio=ratio)
            for name, ratio in RATIOS.items()
        },
        "words": word_figures(model, cases),
        "left_against_right_effusion": side_auroc(model, cases),
        "attmim": {"where": attmim.where, "target": attmim.target, "mode": attmim.mode},
    }


def attmim_of(run: str) -> AttMIM:
    """How a run's AttMIM was set, by its `run.json`; the defaults where it has none."""
    file = Path(model_place(run)) / "run.json"
    if not file.is_file():
        return AttMIM()
    known = {item.name for item in fields(AttMIM)}
    with reading(file, "copy it again, or remove it to take the defaults of AttMIM"):
        written = json.loads(file.read_text("utf-8")).get("config", {}).get("objectives", {}).get("attmim") or {}
        return AttMIM(**{name: value for name, value in written.items() if name in known})


def table(figures: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """(figure, value, interval) of every number, nested names joined."""
    for name, value in _flat(figures):
        if isinstance(value, Mapping):
            low, high = value.get("ci95", (None, None))
            yield name, _number(value["mean"]), "" if low is None else f"{_number(low)} to {_number(high)}"
        elif isinstance(value, float | int):
            yield name, _number(value), ""


def _flat(figures: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in figures.items():
        words = f"{above} {name.replace('_', ' ')}".strip()
        if isinstance(value, Mapping) and "ci95" not in value:
            yield from _flat(value, words)
        else:
            yield words, value


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)
