"""`xlip predict`: probabilities of a fine-tuned model for the images of a table, a prepared set or a folder."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from xlip.errors import XLIPError
from xlip.files import check_target, open_path, refuse_input, whole_text
from xlip.images.any_form import square
from xlip.runtime.export_facts import is_exported
from xlip.runtime.exported import ExportedClassifier
from xlip.sources.cells import said
from xlip.sources.folder import studies as folder_studies
from xlip.sources.source import Candidate, Dropped, is_table
from xlip.sources.table_paths import find_images
from xlip.study.parquet import read_studies
from xlip.tables.read import read_rows
from xlip.tables.row import Fault

Pair = tuple[str, Any]
"""Id of an image, and its file or bytes."""


@dataclass(frozen=True)
class PredictConfig:
    """`xlip predict`."""

    model: str
    """Folder that `xlip finetune` wrote, or `xlip export` of it."""
    data: str
    """A prepared set, a CSV file, a folder of images, or one image."""
    out: str
    """CSV file to write."""
    image_column: str = "path"
    """CSV: column of image paths, relative to the file."""
    batch_size: int = 64
    """Images that are scored at once."""


@dataclass(frozen=True)
class Predicted:
    """What `predict_to` did."""

    images: int
    dropped: list[tuple[str, str]]
    """(row, reason)."""


class Classifier(Protocol):
    """What `predict_to` asks of a classifier, of torch or exported."""

    @property
    def kinds(self) -> tuple[str, ...]:
        """Its columns."""

    @property
    def image_size(self) -> int:
        """S, pixels."""

    @property
    def preprocess(self) -> str:
        """The way to a square."""

    def predict_pixels(self, pixels: Any) -> np.ndarray[Any, Any]:
        """Uint8 (n, S, S) -> probabilities (n, K)."""


def open_classifier(place: str) -> Classifier:
    """A classifier of torch, or an exported one, for which torch is not imported.

    Raises:
        XLIPError: none there.
    """
    if is_exported(place):
        return ExportedClassifier.open(place)
    from xlip.finetune.classifier import XLIPClassifier

    found: Any = XLIPClassifier.from_pretrained(place)
    return found  # type: ignore[no-any-return]


def predict_to(config: PredictConfig, classifier: Classifier | None = None) -> Predicted:
    """Write `image,KIND,...` for every readable image; whole or not at all. Images stream.

    Args:
        config: see `PredictConfig`.
        classifier: the model, where it is in memory already; `config.model` then counts for nothing.

    Raises:
        XLIPError: no model, nothing readable, or `config.out` cannot be written.
    """
    check_target(Path(config.out))
    # The folder of a run may hold predictions of an earlier call, which may be written over; its weights may not.
    refuse_input(config.out, config.data, *map(str, Path(config.model).rglob("*.safetensors") if config.model else ()))
    classifier = classifier or open_classifier(config.model)
    dropped: list[tuple[str, str]] = []
    readable = _readable(_listed(config, dropped), classifier, dropped)
    target, written = Path(config.out), 0
    target.parent.mkdir(parents=True, exist_ok=True)
    with whole_text(target) as stream:
        writer = csv.writer(stream)
        writer.writerow(["image", *classifier.kinds])
        while chunk := list(islice(readable, config.batch_size)):
            scores = classifier.predict_pixels(np.stack([pixels for _, pixels in chunk]))
            writer.writerows([id_, *map(repr, row)] for (id_, _), row in zip(chunk, scores.tolist(), strict=True))
            written += len(chunk)
        if not written:
            first = f"; first: {dropped[0][1]}" if dropped else ""
            raise XLIPError(f"{config.data}: no image could be read ({len(dropped)} dropped{first})")
    return Predicted(written, dropped)


def _readable(
    pairs: Iterable[Pair], classifier: Classifier, dropped: list[tuple[str, str]]
) -> Iterator[tuple[str, np.ndarray[Any, Any]]]:
    for id_, image in pairs:
        try:
            yield id_, square(image, classifier.image_size, classifier.preprocess)
        except XLIPError as error:
            dropped.append((id_, str(error)))


def _listed(config: PredictConfig, dropped: list[tuple[str, str]]) -> Iterator[Pair]:
    path = open_path(config.data)
    if is_table(config.data):
        return _in_table(path, config.image_column, dropped)
    if path.is_dir() and not any(path.glob("*.parquet")) and not (path / "journal").is_dir():
        return _in_folder(path, dropped)
    if path.is_file() and path.suffix != ".parquet":
        return iter([(path.name, path)])
    return ((study.study_id, study.image) for study in read_studies(path) if study.image is not None)


def _in_table(path: Path, column: str, dropped: list[tuple[str, str]]) -> Iterator[Pair]:
    for row in read_rows(path, (column,), pictures=True):
        where = f"{path.name}:{row.line}"
        if isinstance(row, Fault):
            dropped += [(where, row.reason)] * row.lost
        elif column in row.pictures:
            yield row.cells[column] or where, row.pictures[column]
        elif text := said(row.cells[column]):
            found = find_images(text, path if path.is_dir() else path.parent)
            dropped += [(name, f"image file not found ({where})") for name in found.missing]
            # The name as the table has it: whoever reads the scores joins them to that table.
            yield from [(text, found.files[0][1])] if len(found.files) == 1 else found.files


def _in_folder(path: Path, dropped: list[tuple[str, str]]) -> Iterator[Pair]:
    for row in folder_studies(path):
        if isinstance(row, Dropped):
            dropped.append((row.row, row.reason))
        elif isinstance(row, Candidate) and row.file is not None:
            yield row.study.image_path, row.file
