"""ChestX-Det10 (Liu et al. 2020): 3,543 images of ChestX-ray14 with boxes of ten findings by radiologists."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from xlip.errors import XLIPError
from xlip.sources.source import Candidate, Dropped, Row, first_existing, image_files, relative
from xlip.study.labels import ABSENT, PRESENT, LabelState
from xlip.study.record import Box, Study

KINDS = {
    "Atelectasis": "Atelectasis",
    "Consolidation": "Consolidation",
    "Effusion": "Effusion",
    "Emphysema": "Emphysema",
    "Fibrosis": "Fibrosis",
    "Fracture": "Fracture",
    "Mass": "Mass",
    "Nodule": "Nodule",
    "Pneumothorax": "Pneumothorax",
}
"""Its names -> kinds; the tenth, Calcification, is no kind of ours and goes to `tags` alone."""
TABLES = {"train": ("train.json", "ChestX_Det_train.json"), "test": ("test.json", "ChestX_Det_test.json")}
FRAME = (1024, 1024)
"""Pixels of the published images, in which boxes count."""


def studies(root: Path) -> Iterator[Row]:
    """Images of `train.json` and `test.json` (or `ChestX_Det_*.json`), in any folder beside them, with their boxes.

    Readers marked every finding of the list, so what an image does not have is absent. The images are a part of
    ChestX-ray14: a model that saw those has seen them (`xlip audit`). A name is `00012345_003.png` there and
    `12345.png` here, so patients cannot be told: each image stands for one.
    """
    base = first_existing(root, *(name for names in TABLES.values() for name in names)).parent
    files = image_files(*sorted(path for path in base.iterdir() if path.is_dir()), base)
    for split, names in TABLES.items():
        table = next((base / name for name in names if (base / name).is_file()), None)
        for place, item in enumerate(_items(table) if table else ()):
            assert table is not None
            yield _row(root, f"{table.name}[{place}]", item, split, files)


def _items(table: Path) -> list[Mapping[str, Any]]:
    try:
        found = json.loads(table.read_text("utf-8"))
    except ValueError as error:
        raise XLIPError(f"{table}: not readable as JSON ({error}); copy or download it again") from error
    if not isinstance(found, list):
        raise XLIPError(f"{table}: expected a list of images, got {type(found).__name__}; is it the right file?")
    return found


def _row(root: Path, where: str, item: Mapping[str, Any], split: str, files: Mapping[str, Path]) -> Row:
    name, said, corners = str(item.get("file_name", "")), item.get("syms"), item.get("boxes")
    if not isinstance(said, list) or not isinstance(corners, list) or len(said) != len(corners):
        return Dropped(where, "expected `syms` and `boxes`, one name for each box")
    file = files.get(name.rpartition(".")[0].lower())
    if file is None:
        return Dropped(where, f"image file {name} not found")
    named = {KINDS[word] for word in said if word in KINDS}
    known: dict[str, LabelState] = {kind: PRESENT if kind in named else ABSENT for kind in KINDS.values()}
    boxes = [
        Box(KINDS[word], left, top, right - left, bottom - top)
        for word, (left, top, right, bottom) in zip(said, corners, strict=True)
        if word in KINDS and right > left and bottom > top
    ]
    id_ = f"chestxdet10/{split}/{file.stem}"
    study = Study(
        id_,
        id_,
        "chestxdet10",
        image_path=relative(file, root),
        labels=known,
        split=split,
        tags=tuple(dict.fromkeys(map(str, said))),
    )
    return Candidate(study, file, boxes=tuple(boxes), frame=FRAME)
