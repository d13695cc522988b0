"""What a run leaves of a step that went wrong: the batch and the weights, so that `xlip replay` can look at it."""

from __future__ import annotations

import json
import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from statistics import fmean, pstdev
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from xlip.batches.batch import DEVICE_FIELDS, IMAGE_ROWS, LONE_IMAGE_ROWS, REPORT_ROWS, Batch
from xlip.batches.text_batch import TextBatch
from xlip.files import obey_umask, reading, writing
from xlip.models.loading import load_checked
from xlip.models.xlip import XLIPModel
from xlip.objectives.registry import build_objectives
from xlip.train.checkpoint import save_tensors
from xlip.train.pretrainer import Pretrainer

NOTES = "fault.json"
SEEDS = ("image_seeds", "report_seeds", "meaning")
OTHERS = ("pairs", "kinds", "image_studies", "report_studies")


class Spikes:
    """Finds losses far above those of the last steps."""

    WINDOW, FEWEST, DEVIATIONS = 100, 20, 6.0

    def __init__(self) -> None:
        self.last: deque[float] = deque(maxlen=self.WINDOW)

    def expected(self, total: float) -> float | None:
        """The mean of the last totals where this one is a spike, else None; call once a step."""
        mean = fmean(self.last) if len(self.last) >= self.FEWEST else math.inf
        # A share of the mean as well: a loss that hardly moves would call every tremor a spike.
        limit = mean + max(self.DEVIATIONS * pstdev(self.last), 0.1 * abs(mean)) if math.isfinite(mean) else math.inf
        self.last.append(total)
        return mean if total > limit else None


def studies_of(batch: Batch) -> list[str]:
    """The ids of a batch's studies, once each."""
    return list(dict.fromkeys((*batch.image_studies, *batch.report_studies)))


def write_batch(folder: Path, batch: Batch, rank: int) -> None:
    """One process's share of a step, as tensors."""
    tensors: dict[str, Tensor] = {name: getattr(batch, name) for name in SEEDS}
    for name in DEVICE_FIELDS:
        value = getattr(batch, name)
        parts = vars(value) if isinstance(value, TextBatch) else {"": value}
        tensors |= {f"{name}.{part}".rstrip("."): tensor for part, tensor in parts.items()}
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        save_tensors({name: t.detach().cpu().contiguous() for name, t in tensors.items()}, folder / f"batch-{rank}.st")
        others = {name: getattr(batch, name) for name in OTHERS}
        (folder / f"batch-{rank}.json").write_text(json.dumps(others) + "\n", "utf-8")


def write_notes(
    folder: Path, model: XLIPModel, notes: Mapping[str, Any], weights: dict[str, Tensor] | None = None
) -> None:
    """The weights before the step, and what is known of it."""
    with writing(folder):
        model.save_pretrained(folder, state_dict=weights)
        (folder / NOTES).write_text(json.dumps(notes, indent=1) + "\n", "utf-8")
        obey_umask(folder)


def read_batch(folder: Path, rank: int) -> Batch:
    """What `write_batch` wrote.

    Raises:
        XLIPError: it is not there, or damaged.
    """
    file = folder / f"batch-{rank}.st"
    with reading(file):
        tensors = load_file(str(file))
        others = json.loads(file.with_suffix(".json").read_text("utf-8"))
        values: dict[str, Any] = {name: tensors[name] for name in SEEDS} | {
            name: tuple(value) if isinstance(value, list) else value for name, value in others.items()
        }
        for name in DEVICE_FIELDS:
            texts = {part.name: tensors.get(f"{name}.{part.name}") for part in fields(TextBatch)}
            values[name] = tensors[name] if name in tensors else TextBatch(**texts)
        return Batch(**values)


@dataclass(frozen=True)
class ReplayConfig:
    """`xlip replay`."""

    folder: str
    """What a run wrote when its loss was not finite: OUT/faults/step-..."""


@dataclass(frozen=True)
class Replay:
    """A step computed again on one process, share by share."""

    step: int
    said: dict[str, float]
    """The values of the run."""
    shares: list[dict[str, float]]
    """Terms and total of each process's share, in fp32."""
    modules: list[str]
    """Modules whose output is the first that is not finite, of each share that has one."""
    studies: list[str]
    """Studies that make some term not finite on their own."""


def replay(folder: Path) -> Replay:
    """Compute the terms of a kept step again, and look for what is not finite.

    Raises:
        XLIPError: nothing kept there, or damaged.
    """
    with reading(folder / NOTES, "name a folder OUT/faults/step-... that a run wrote"):
        notes = json.loads((folder / NOTES).read_text("utf-8"))
        objectives = build_objectives(notes["objectives"])
    task = Pretrainer(load_checked(str(folder)), objectives).train()
    shares, modules, studies = [], [], []
    for rank in range(notes["ranks"]):
        batch = read_batch(folder, rank)
        values, first = _terms(task, batch, notes)
        shares.append(values)
        if first:
            modules.append(first)
        studies += [name for name, part in _single(batch) if not _finite(_terms(task, part, notes)[0])]
    return Replay(notes["step"], notes["values"], shares, modules, list(dict.fromkeys(studies)))


def _finite(values: Mapping[str, float]) -> bool:
    return all(map(math.isfinite, values.values()))


@torch.no_grad()
def _terms(task: Pretrainer, batch: Batch, notes: Mapping[str, Any]) -> tuple[dict[str, float], str]:
    """The terms, and the first module with an output that is not finite ('' = none)."""
    found: list[str] = []

    def look(name: str) -> Any:
        def hook(module: torch.nn.Module, inputs: Any, output: Any) -> None:
            if isinstance(output, Tensor) and not bool(torch.isfinite(output).all()):
                found.append(name)

        return hook

    handles = [module.register_forward_hook(look(name)) for name, module in task.model.named_modules() if name]
    try:
        losses = task(batch, notes["progress"], torch.Generator().manual_seed(notes.get("generator", 0)))
    finally:
        for handle in handles:
            handle.remove()
    values = {name: float(term) for name, term in losses.terms.items()} | {"total": float(losses.total)}
    return values, found[0] if found else ""


def _single(batch: Batch) -> Sequence[tuple[str, Batch]]:
    """Each image, with its report where it has one, and each lone report, as a batch of its own."""

    def rows(images: slice, reports: slice, pairs: int) -> Batch:
        cut = {name: getattr(batch, name)[images] for name in IMAGE_ROWS}
        first, last = images.start - batch.pairs, images.stop - batch.pairs
        lone = slice(first, last) if first >= 0 else slice(0, 0)
        cut |= {name: getattr(batch, name)[lone] for name in LONE_IMAGE_ROWS}
        return replace(batch, pairs=pairs, **cut, **{name: getattr(batch, name)[reports] for name in REPORT_ROWS})

    singles = []
    for row, study in enumerate(batch.image_studies):
        paired = row < batch.pairs
        report = slice(row, row + 1) if paired else slice(0, 0)
        singles.append((study, rows(slice(row, row + 1), report, int(paired))))
    for row in range(batch.pairs, len(batch.report_studies)):
        singles.append((batch.report_studies[row], rows(slice(0, 0), slice(row, row + 1), 0)))
    return singles
