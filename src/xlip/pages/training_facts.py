"""What a run says of its training: its resolved config, and the statistics of the sets it names."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xlip.errors import XLIPError
from xlip.files import reading
from xlip.preparation.target import STATS

RUN_NAME = "run.json"


@dataclass(frozen=True)
class TrainingSet:
    """One set of one stream."""

    stream: str
    """pairs, images or texts."""
    name: str
    """The folder's own name: where it lay is not published."""
    source: str = ""
    """Layout it was prepared from; '' and no counts where its statistics are not there any more."""
    counts: dict[str, int] = field(default_factory=dict)
    """studies, images, reports, patients of the whole set, all splits."""
    split_name: str = ""


@dataclass(frozen=True)
class TrainingFacts:
    """Everything a model card says of the training."""

    sets: tuple[TrainingSet, ...] = ()
    objectives: tuple[str, ...] = ()
    steps: int | None = None
    seed: int | None = None
    image_size: int | None = None
    kinds: tuple[str, ...] = ()
    prompts: str = ""
    """Prompt set of the kinds."""


def training_facts(run: Path) -> TrainingFacts | None:
    """Facts of the folder of a run; None where it holds no `run.json` (a downloaded model).

    Raises:
        XLIPError: `run.json` is not that of a run.
    """
    file = run / RUN_NAME
    if not file.is_file():
        return None
    try:
        config = json.loads(file.read_text("utf-8"))["config"]
        streams = {name: config["data"].get(name) or [] for name in ("pairs", "images", "texts")}
        sets = tuple(_training_set(name, Path(item["path"]), run) for name, items in streams.items() for item in items)
        return TrainingFacts(
            sets,
            tuple(config["objectives"]),
            config["steps"],
            config["seed"],
            config["model"]["image_size"],
            tuple(config.get("kinds", ())),
            str(config.get("prompts", "")),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise XLIPError(f"{file}: expected the config of a run of `xlip pretrain`; fault at {error}") from error


def set_statistics(data: Path) -> dict[str, Any]:
    """The content of the `stats.json` of a prepared set; empty where there is none."""
    file = data / STATS
    if not file.is_file():
        return {}
    with reading(file, "copy or prepare it again"):
        found = json.loads(file.read_text("utf-8"))
    return found if isinstance(found, dict) else {}


def _training_set(stream: str, path: Path, run: Path) -> TrainingSet:
    # A relative path starts where the run was started: most often the current folder, else one above the run's.
    starts = (Path(), *run.resolve().parents)
    stats = next((found for start in starts if (found := set_statistics(start / path))), {})
    names = {"studies": "kept", "images": "images", "reports": "reports", "patients": "patients"}
    counts = {name: int(stats[key]) for name, key in names.items() if key in stats}
    return TrainingSet(stream, path.name, stats.get("source", ""), counts, stats.get("split_name", ""))
