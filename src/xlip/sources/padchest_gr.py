"""PadChest-GR (Castro et al. 2024): sentences of findings, in Spanish and English, with boxes in images of PadChest."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from xlip.errors import XLIPError
from xlip.files import reading
from xlip.sources.cells import identifier, split_of
from xlip.sources.padchest import TREE, labels
from xlip.sources.source import Candidate, Dropped, Row, first_existing, image_files, optional_table, relative
from xlip.study.labels import PRESENT
from xlip.study.record import Box, Study


def studies(root: Path, language: str = "en") -> Iterator[Row]:
    """Studies of `grounded_reports_*.json`; patients and official splits of `master_table.csv`, where it is there.

    Args:
        root: holds the tables, and the images in any folder beside them.
        language: of the sentences, `en` or `es`.
    """
    if language not in ("en", "es"):
        raise XLIPError(f"language: expected en or es, got {language!r}")
    reports = first_existing(root, "grounded_reports_*.json")
    base, faults = reports.parent, list[Row]()
    with reading(reports, "expected JSON; copy or download it again"):
        items = [dict(item) for item in json.loads(reports.read_text("utf-8"))]
    master = {row["ImageID"]: row for _, row in optional_table(base, "master_table.csv", faults=faults)}
    files = image_files(*sorted(path for path in base.iterdir() if path.is_dir()), base)
    for number, item in enumerate(items):
        where, name = f"{reports.name}[{number}]", str(item.get("ImageID", ""))
        file = files.get(name.rpartition(".")[0].lower())
        if file is None:
            yield Dropped(where, f"image file {name} not found")
            continue
        yield Candidate(_study(root, file, item, master.get(name, {}), language), file)
    yield from faults


def _study(root: Path, file: Path, item: Mapping[str, Any], row: Mapping[str, str], language: str) -> Study:
    findings = item.get("findings") or []
    said = [label for finding in findings for label in finding.get("labels") or []]
    sentences = [str(finding.get(f"sentence_{language}") or "").strip() for finding in findings]
    known = labels(said or (["normal"] if findings else []))
    patient = identifier(row.get("PatientID")) or str(item.get("StudyID", file.stem))
    return Study(
        f"padchest/{file.name}",
        f"padchest/{patient}",
        "padchest",
        image_path=relative(file, root),
        report=" ".join(sentence for sentence in sentences if sentence) or None,
        labels=known,
        split=split_of(row.get("split", "")) or "train",
        boxes=tuple(box for finding in findings for box in _boxes(finding, known)),
        tags=tuple(dict.fromkeys(said)),
    )


def _boxes(finding: Mapping[str, Any], known: Mapping[str, int]) -> Iterator[Box]:
    """Boxes of a sentence, whose corners are shares of the image, for each kind of its labels."""
    words = {str(label).lower() for label in finding.get("labels") or []}
    named = [kind for kind, family in TREE.items() if words.intersection(family) and known.get(kind) == PRESENT]
    for corners in finding.get("boxes") or []:
        if len(corners) == 4:
            left, top, right, bottom = (min(max(float(corner), 0.0), 1.0) for corner in corners)
            if right > left and bottom > top:
                yield from (Box(kind, left, top, right - left, bottom - top) for kind in named)
