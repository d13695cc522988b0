"""`xlip finetune`: every share, seed and fold of one set from one checkpoint; goes on where it stopped."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from xlip.batches.augmentation import Augment
from xlip.errors import XLIPError
from xlip.files import check_target, reading, whole_folder
from xlip.finetune.cell import Cell, Rows, Scored, divide, read_cell, train_cell, write_cell
from xlip.finetune.classifier import CONFIG, XLIPClassifier
from xlip.finetune.images import Columns, LabelledImages, read_labelled
from xlip.finetune.recipe import Recipe
from xlip.finetune.start import starting_classifier
from xlip.identity import checkpoint_id, digest, split_id
from xlip.models.loading import load_checked
from xlip.models.xlip import XLIPModel
from xlip.study.labels import UncertainPolicy, one_class, truth
from xlip.study.prompts import load_prompts

Array = np.ndarray[Any, Any]
Say = Callable[[str], None]
CELLS, MODEL = "cells", "model"
SAMPLED = 500
"""Images of a set whose pixels tell whether it is the same, about."""
ARCHITECTURE = ("image", "stem", "pool", "embed_dim", "pixel_mean", "pixel_std")
"""What training from scratch takes from a checkpoint: other weights of the same architecture give the same cells."""


@dataclass(frozen=True)
class FinetuneConfig:
    """`xlip finetune`."""

    model: str
    """Folder of a run or a saved model, a hub id, or `phantom`; from scratch only its architecture counts."""
    data: str
    """Prepared Parquet (folder or file) or a CSV file, with labels and the splits train and test; val if it has one."""
    out: str
    """Folder: finished cells, the best model, metrics.json, scores.csv. The same command goes on where it stopped."""
    recipe: Recipe = field(default_factory=Recipe)
    """How a classifier is trained."""
    augment: Augment | None = field(default_factory=Augment)
    """How training images are changed at every step; null: not at all."""
    fractions: str = "1"
    """Shares of the training images to label, by patient: `0.01,0.1,1`."""
    seeds: str = "0"
    """`0,1,2`: each draws its own share, order and augmentation."""
    folds: int = 0
    """Cross-validate over the patients of train and val with so many folds; 0: measure on the split test."""
    validation: float = 0.15
    """Share of the training patients that becomes the validation part where the data have none; 0: none."""
    kinds: str = ""
    """Kinds to learn, separated by commas; default: all that the data label."""
    prompts: str = "xlip"
    """Prompts of the zero-shot head: a shipped prompt set or a YAML file."""
    image_column: str = "path"
    """CSV: column of image paths, relative to the file."""
    patient_column: str = ""
    """CSV: column of patient ids; without it every row is a patient, and parts may leak."""
    split_column: str = ""
    """CSV: column that says train, val or test."""
    baseline: str = ""
    """Folder of another `xlip finetune` of the same data: the table says how far this one is above it."""
    precision: str = "auto"
    """bf16, fp32, or auto: the faster one on this machine."""
    replicates: int = 1000
    """Bootstrap replicates over patients."""


@dataclass(frozen=True)
class FineTuned:
    """Everything that was trained, with what it was trained on."""

    data: LabelledImages
    """With the kinds that could be trained."""
    cells: list[Scored]
    zero_shot: Scored | None
    """The start's scores of the same images, where the start is the zero-shot classifier."""
    left_out: tuple[str, ...]
    """Kinds of one class only in the training part."""
    identity: dict[str, str]

    @property
    def truth(self) -> Array:
        """(n, K) of 1, 0, -1; uncertain labels are unknown in every measurement."""
        return truth(self.data.codes)


def finetune(config: FinetuneConfig, say: Say = lambda line: None, model: XLIPModel | None = None) -> FineTuned:
    """Train and score every cell.

    Writes into `config.out`: `cells/NAME/` for every cell as soon as it is finished, and `model/`, the classifier of
    the largest share that is best on its validation part.

    Args:
        config: see `FinetuneConfig`.
        say: gets a line of progress.
        model: the checkpoint, where it is in memory already; `config.model` then only names it.

    Raises:
        XLIPError: a fault in config or data; cells of other settings in `config.out`.
    """
    check_target(Path(config.out), folder=True)
    cells = wanted_cells(config)
    model, checkpoint = (model, config.model) if model else (load_checked(config.model), checkpoint_id(config.model))
    if config.recipe.init == "scratch":
        checkpoint = f"none:{digest([getattr(model.config, name) for name in ARCHITECTURE])}"
    processor = model.processor
    assert processor is not None
    columns = Columns(config.image_column, config.patient_column, config.split_column, config.kinds)
    data = read_labelled(config.data, processor.image_size, processor.preprocess, columns)
    parts = divide(data, config.validation, config.folds)
    if not any(len(part.test) for part in parts):
        raise XLIPError(f"{config.data}: no labelled image of split 'test' to measure on; hold some out or set --folds")
    data, left_out = _learnable(data, parts, config.recipe.uncertain, say)
    tested = np.concatenate([part.test for part in parts])
    # By depth or by hand: the same share of the patches is the same training.
    recipe = replace(config.recipe, patch_keep=config.recipe.patches(model.image_tower.depth))
    identity = {
        "checkpoint": checkpoint,
        "split": split_id(f"{data.name}/{f'{config.folds}-fold' if config.folds else 'test'}", data.study_ids[tested]),
        "preprocessing": f"{processor.preprocess}/{processor.image_size}",
        "start": _start_name(config),
        "recipe": digest(asdict(recipe), config.augment and asdict(config.augment), config.precision),
    }
    settings = digest(identity, data.kinds, config.validation, split_id("", data.study_ids), _content(config, data))
    scored = list(_all_cells(config, cells, model, data, parts, settings, say))
    return FineTuned(data, scored, _zero_shot(config, model, data, tested), left_out, identity)


def _content(config: FinetuneConfig, data: LabelledImages) -> str:
    """A hash over what stands behind names that stay: labels, parts, patients, some pixels, the prompts' texts."""
    found = hashlib.sha256(np.ascontiguousarray(data.codes).tobytes())
    for names in (data.splits, data.patients):
        found.update("\n".join(names.tolist()).encode())
    found.update(np.ascontiguousarray(data.pixels[:: max(len(data) // SAMPLED, 1)]).tobytes())
    texts = asdict(load_prompts(config.prompts)) if config.recipe.from_zero_shot else None
    return digest(found.hexdigest(), texts)


def wanted_cells(config: FinetuneConfig) -> list[Cell]:
    """The cells that a config asks for, small shares first.

    Raises:
        XLIPError: a list that holds something else than numbers, or a share outside (0, 1].
    """
    fractions, seeds = numbers(config.fractions, "fractions"), numbers(config.seeds, "seeds")
    if any(not 0 < fraction <= 1 for fraction in fractions):
        raise XLIPError(f"fractions: expected shares above 0 and at most 1, got {config.fractions}")
    if any(seed != int(seed) or seed < 0 for seed in seeds):
        raise XLIPError(f"seeds: expected whole numbers from 0, got {config.seeds}")
    if config.folds == 1 or config.folds < 0:
        raise XLIPError(f"folds: expected 0 (use the split test) or at least 2, got {config.folds}")
    if not 0 <= config.validation < 1:
        raise XLIPError(f"validation: expected a share of the patients in [0, 1), got {config.validation}")
    folds = range(config.folds) if config.folds else [None]
    return [Cell(share, int(seed), fold) for share in sorted(fractions) for seed in seeds for fold in folds]


def numbers(text: str, name: str) -> list[float]:
    """The numbers of a list such as `0.01,0.1,1`, each once.

    Raises:
        XLIPError: something else, or nothing.
    """
    try:
        found = [float(part) for part in text.split(",") if part.strip()]
    except ValueError:
        found = []
    if not found:
        raise XLIPError(f"{name}: expected numbers separated by commas, got {text!r}")
    return list(dict.fromkeys(found))


def _all_cells(
    config: FinetuneConfig,
    cells: list[Cell],
    model: XLIPModel,
    data: LabelledImages,
    parts: list[Rows],
    settings: str,
    say: Say,
) -> Iterator[Scored]:
    out = Path(config.out)
    for cell in cells:
        folder = out / CELLS / cell.name
        scored = read_cell(folder, cell, settings)
        if scored is None:
            start = starting_classifier(model, data.kinds, config.recipe, prompts=config.prompts, seed=cell.seed)
            options: dict[str, Any] = {"augment": config.augment, "precision": config.precision}
            scored, trained = train_cell(
                cell, data, parts[cell.fold or 0], start.to(_device()), config.recipe, **options
            )
            trained.notes = {name: value for name, value in scored.facts.items() if name != "curve"}
            trained.notes["settings"] = settings
            _keep_best(out / MODEL, trained)
            write_cell(folder, scored, settings)
        say(f"{cell.name}: {_summary(scored)}")
        yield scored


def _keep_best(folder: Path, trained: XLIPClassifier) -> None:
    """Replace the model in the folder by this one if it saw more labels, or as many and validates better."""
    if (folder / CONFIG).is_file():
        with reading(folder / CONFIG, f"remove {folder} to keep the best of what is trained from here on"):
            kept = json.loads((folder / CONFIG).read_text("utf-8"))["notes"]
        if kept.get("settings") == trained.notes["settings"] and _rank(kept) >= _rank(trained.notes):
            return
    with whole_folder(folder) as partial:
        trained.save_pretrained(partial)


def _rank(notes: dict[str, Any]) -> tuple[float, float]:
    return notes["fraction"], notes["validation_auroc"] or 0.0


def _learnable(
    data: LabelledImages, parts: list[Rows], uncertain: str, say: Say
) -> tuple[LabelledImages, tuple[str, ...]]:
    """The set without the kinds that have one class only among all images that may be trained on."""
    rows = np.unique(np.concatenate([part.train for part in parts]))
    lacking = one_class(UncertainPolicy.parse(uncertain).targets(data.codes, data.kinds)[rows])
    left_out = tuple(kind for kind, lacks in zip(data.kinds, lacking, strict=True) if lacks)
    if lacking.all():
        raise XLIPError(f"{data.name}: no kind is both present and absent in the training part; nothing to learn")
    for kind in left_out:
        say(f"left out: {kind} has one class only among the {len(rows)} training images")
    return data.with_kinds(~lacking), left_out


def _zero_shot(config: FinetuneConfig, model: XLIPModel, data: LabelledImages, tested: Array) -> Scored | None:
    """What the start says of the test images before any training."""
    if not config.recipe.from_zero_shot:
        return None
    start = starting_classifier(model, data.kinds, config.recipe, prompts=config.prompts, seed=0).to(_device())
    nothing = np.zeros(0, np.int64)
    scores = start.predict_pixels(data.pixels[tested])
    return Scored(Cell(0.0, 0), {}, tested, scores, nothing, np.zeros((0, len(data.kinds))))


def _start_name(config: FinetuneConfig) -> str:
    if config.recipe.init == "scratch":
        return "scratch"
    return load_prompts(config.prompts).identifier if config.recipe.head == "prompts" else "random head"


def _summary(scored: Scored) -> str:
    facts = scored.facts
    score = facts["validation_auroc"]
    watched = f"validation AUROC {score:.3f}" if score is not None else "no validation"
    return f"{facts['training_images']} images, {watched}, step {facts['kept_step']}, {facts['seconds']:.0f} s"


def _device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
