"""One cell of a fine-tuning table: a share of the labels, a seed and, in a cross-validation, a fold."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

from xlip.batches.augmentation import Augment
from xlip.errors import XLIPError
from xlip.files import reading, whole_folder
from xlip.finetune.classifier import XLIPClassifier
from xlip.finetune.fit import Fitted, Part, fit
from xlip.finetune.images import LabelledImages
from xlip.finetune.recipe import Recipe
from xlip.finetune.subsets import folds, label_share, share_of_patients
from xlip.study.labels import UncertainPolicy, one_class, truth

Array = np.ndarray[Any, Any]
FACTS, ARRAYS = "cell.json", "scores.safetensors"


@dataclass(frozen=True)
class Cell:
    """What is trained on, and with which seed."""

    fraction: float
    seed: int
    fold: int | None = None

    @property
    def name(self) -> str:
        """Its folder."""
        return f"share-{self.fraction:g}-seed-{self.seed}" + ("" if self.fold is None else f"-fold-{self.fold}")


@dataclass(frozen=True)
class Rows:
    """Row numbers of the images that a cell uses."""

    train: Array
    """All that may be trained on, before the share is drawn."""
    validation: Array
    test: Array


@dataclass(frozen=True)
class Scored:
    """A finished cell: its facts and its probabilities, by row number of the set."""

    cell: Cell
    facts: Mapping[str, Any]
    test: Array
    """Row numbers."""
    scores: Array
    """(test, K) float64."""
    validation: Array
    validation_scores: Array


def divide(data: LabelledImages, share: float, count: int = 0) -> list[Rows]:
    """The parts of a set: its own splits, or `count` folds over the patients of train and val.

    Where the set has no validation part, a share of the training patients becomes one, the same for every cell.

    Raises:
        XLIPError: no training images, or no test images and no folds.
    """
    targets = truth(data.codes)
    train, own = data.rows("train"), data.rows("val")
    if not len(train):
        there = ", ".join(sorted(set(data.splits.tolist())))
        raise XLIPError(f"{data.name}: no labelled image of split 'train'; its splits are {there}")
    if not count:
        test = data.rows("test")
        fit_on, watched = (train, own) if len(own) else _carve(data, targets, train, share)
        return [Rows(fit_on, watched, test)]
    everything = np.sort(np.concatenate([train, own]))
    fold = folds(data.patients[everything], targets[everything], count, seed=0)
    return [
        Rows(*_carve(data, targets, everything[fold != number], share), everything[fold == number])
        for number in range(count)
    ]


def _carve(data: LabelledImages, targets: Array, rows: Array, share: float) -> tuple[Array, Array]:
    """(training, validation) rows."""
    watched = share_of_patients(data.patients[rows], targets[rows], share, seed=0)
    return rows[~watched], rows[watched]


def train_cell(
    cell: Cell,
    data: LabelledImages,
    rows: Rows,
    start: XLIPClassifier,
    recipe: Recipe,
    *,
    augment: Augment | None,
    precision: str,
) -> tuple[Scored, XLIPClassifier]:
    """Draw the share, train `start` in place, score validation and test."""
    began = time.perf_counter()
    wanted = UncertainPolicy.parse(recipe.uncertain).targets(data.codes, data.kinds)
    known = truth(data.codes)
    drawn = rows.train[label_share(data.patients[rows.train], wanted[rows.train], cell.fraction, cell.seed)]
    watched = rows.validation if (~one_class(known[rows.validation])).any() else rows.validation[:0]
    validation = Part(data.pixels[watched], known[watched]) if len(watched) else None
    train = Part(data.pixels[drawn], wanted[drawn])
    fitted = fit(start, train, validation, recipe, seed=cell.seed, augment=augment, precision=precision)
    scores = _finite(fitted.classifier.predict_pixels(data.pixels[rows.test]), data.kinds)
    facts = _facts(cell, fitted, data, drawn, watched, time.perf_counter() - began)
    watched_scores = fitted.classifier.predict_pixels(data.pixels[rows.validation])
    return Scored(cell, facts, rows.test, scores, rows.validation, watched_scores), fitted.classifier


def _facts(
    cell: Cell, fitted: Fitted, data: LabelledImages, drawn: Array, watched: Array, seconds: float
) -> dict[str, Any]:
    score = fitted.validation_auroc
    return {
        "fraction": cell.fraction,
        "seed": cell.seed,
        "fold": cell.fold,
        "training_images": len(drawn),
        "training_patients": len(set(data.patients[drawn].tolist())),
        "validation_images": len(watched),
        "validation_auroc": score if score is not None and math.isfinite(score) else None,
        "kept_step": fitted.step,
        "kept_share": fitted.share,
        "untrained": list(fitted.untrained),
        "seconds": round(seconds, 1),
        "curve": fitted.curve,
    }


def write_cell(folder: Path, scored: Scored, settings: str) -> None:
    """The finished cell as a folder; whole or not at all."""
    with whole_folder(folder) as partial:
        names = ("test", "scores", "validation", "validation_scores")
        save_file({name: np.ascontiguousarray(getattr(scored, name)) for name in names}, str(partial / ARRAYS))
        facts = json.dumps({**scored.facts, "settings": settings}, indent=1, allow_nan=False)
        (partial / FACTS).write_text(facts + "\n", "utf-8")


def read_cell(folder: Path, cell: Cell, settings: str) -> Scored | None:
    """A cell that is finished already; None where it is not.

    Raises:
        XLIPError: it was made with other settings.
    """
    if not (folder / FACTS).is_file():
        return None
    with reading(folder / FACTS, f"remove {folder} to train this cell again"):
        facts = json.loads((folder / FACTS).read_text("utf-8"))
        own = facts.pop("settings")
    if own != settings:
        raise XLIPError(f"{folder}: was made with another model, data or recipe; take another --out, or remove it")
    with reading(folder / ARRAYS, f"remove {folder} to train this cell again"):
        return Scored(cell, facts, **load_file(str(folder / ARRAYS)))


def _finite(scores: Array, kinds: tuple[str, ...]) -> Array:
    bad = [kind for kind, column in zip(kinds, scores.T, strict=True) if not np.isfinite(column).all()]
    if bad:
        raise XLIPError(f"scores of {', '.join(bad)} are NaN or infinite; is the checkpoint sound?")
    return scores
