"""Boxes for images of MIMIC-CXR: MS-CXR (Boecking et al. 2022) and Chest ImaGenome (Wu et al. 2021)."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from xlip.errors import XLIPError
from xlip.sources.cells import number
from xlip.sources.source import Row, not_found, read_table
from xlip.study.kinds import canonical, is_kind
from xlip.study.phrases import phrase_tag
from xlip.study.record import Box


@dataclass
class Boxed:
    """What is known of the places in one image."""

    boxes: list[Box] = field(default_factory=list)
    """In pixels of the original."""
    frame: tuple[int, int] | None = None
    """Width and height of the original, where the table says them."""
    phrases: dict[str, list[str]] = field(default_factory=dict)
    """Kind -> the words of the report that the boxes stand for, once each."""

    @property
    def tags(self) -> tuple[str, ...]:
        """The phrases as tags of a study, see `xlip.study.phrases`."""
        return tuple(phrase_tag(kind, words) for kind, said in self.phrases.items() for words in said)


def read_boxes(place: Path, faults: list[Row]) -> dict[str, Boxed]:
    """Image -> its boxes.

    Raises:
        XLIPError: neither a table of MS-CXR nor scene graphs.
    """
    found: dict[str, Boxed] = {}
    if place.is_dir():
        graphs = sorted(place.rglob("*_SceneGraph.json"))
        if not graphs:
            raise not_found(place, "*_SceneGraph.json")
        return {graph.name.removesuffix("_SceneGraph.json"): Boxed(_regions(graph)) for graph in graphs}
    for _, row in read_table(place, ("dicom_id", "category_name", "x", "y", "w", "h"), faults):
        sides = [number(row[side]) for side in ("x", "y", "w", "h")]
        width, height = (int(number(row.get(f"image_{side}", "")) or 0) for side in ("width", "height"))
        if is_kind(row["category_name"]) and all(side is not None for side in sides):
            one, kind = found.setdefault(row["dicom_id"], Boxed()), canonical(row["category_name"])
            one.frame = one.frame or ((width, height) if width and height else None)
            one.boxes.append(Box(kind, *(side or 0.0 for side in sides)))
            words = " ".join(row.get("label_text", "").split())
            if words and words not in one.phrases.setdefault(kind, []):
                one.phrases[kind].append(words)
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
