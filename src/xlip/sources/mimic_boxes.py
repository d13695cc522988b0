"""Boxes for images of MIMIC-CXR: MS-CXR (Boecking et al. 2022) and Chest ImaGenome (Wu et al. 2021)."""

from __future__ import annotations

import json
from pathlib import Path

from xlip.errors import XLIPError
from xlip.sources.cells import number
from xlip.sources.source import Row, not_found, read_table
from xlip.study.kinds import canonical, is_kind
from xlip.study.record import Box


def read_boxes(place: Path, faults: list[Row]) -> dict[str, tuple[list[Box], tuple[int, int] | None]]:
    """Image -> boxes in pixels of the original, and its width and height where the table says them.

    Raises:
        XLIPError: neither a table of MS-CXR nor scene graphs.
    """
    found: dict[str, tuple[list[Box], tuple[int, int] | None]] = {}
    if place.is_dir():
        graphs = sorted(place.rglob("*_SceneGraph.json"))
        if not graphs:
            raise not_found(place, "*_SceneGraph.json")
        return {graph.name.removesuffix("_SceneGraph.json"): (_regions(graph), None) for graph in graphs}
    for _, row in read_table(place, ("dicom_id", "category_name", "x", "y", "w", "h"), faults):
        sides = [number(row[side]) for side in ("x", "y", "w", "h")]
        width, height = (int(number(row.get(f"image_{side}", "")) or 0) for side in ("width", "height"))
        if is_kind(row["category_name"]) and all(side is not None for side in sides):
            boxes, _ = found.setdefault(row["dicom_id"], ([], (width, height) if width and height else None))
            boxes.append(Box(canonical(row["category_name"]), *(side or 0.0 for side in sides)))
    return found


def _regions(graph: Path) -> list[Box]:
    """Regions of a scene graph in which a finding is said to be present, as boxes of the original image."""
    try:
        tree = json.loads(graph.read_text("utf-8"))
        corners = ("original_x1", "original_y1", "original_x2", "original_y2")
        regions = {item["bbox_name"]: [float(item[corner]) for corner in corners] for item in tree["objects"]}
        said = {
            (item["bbox_name"], words[2])
            for item in tree["attributes"]
            for group in item["attributes"]
            for words in (text.split("|") for text in group)
            if words[:2] in (["anatomicalfinding", "yes"], ["disease", "yes"])
        }
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise XLIPError(f"{graph}: not readable as a scene graph ({error}); copy or download it again") from error
    made = []
    for region, name in sorted(said):
        if region in regions and is_kind(name):
            left, top, right, bottom = regions[region]
            made.append(Box(canonical(name), left, top, right - left, bottom - top))
    return made
