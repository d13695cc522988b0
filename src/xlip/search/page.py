"""The result of a search as one HTML file: pictures, scores, what is known of each, reports and maps."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from xlip.files import write_whole
from xlip.search.ask import Found

SHOWN_BESIDE = ("report", "patient_id")
"""Columns that a page has a place of its own for, or does not show."""


@dataclass(frozen=True)
class Pictures:
    """What a page shows of one hit."""

    image: bytes = b""
    """Encoded; b'' where the index has none."""
    map: bytes = b""
    """The image with a map over it; b'' for none."""
    note: str = ""
    """What the map says, in words."""


def write_page(path: Path, found: Found, pictures: Sequence[Pictures], facts: Mapping[str, str], query: bytes) -> None:
    """Write the page, whole or not at all; whatever stands in ids, columns and reports is escaped.

    Args:
        path: the file.
        found: the answer.
        pictures: of each hit.
        facts: what the answer was made with: name -> words.
        query: the encoded picture of the question; b'' for none.

    Raises:
        OSError: the file cannot be written.
    """
    from jinja2 import Environment, StrictUndefined

    source = files("xlip.search").joinpath("page.html").read_text("utf-8")
    template = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True).from_string(source)
    rows = [
        {
            "rank": rank,
            "id": hit.id,
            "score": f"{hit.score:.3f}",
            "share": _share(hit.score, found),
            "report": str(hit.columns.get("report", "")),
            "columns": [(name, _words(value)) for name, value in _shown(hit.columns).items()],
            "image": _source(shown.image),
            "map": _source(shown.map),
            "note": shown.note,
        }
        for rank, (hit, shown) in enumerate(zip(found.hits, pictures, strict=True), 1)
    ]
    html = template.render(asked=found.asked, find=found.find, rows=rows, facts=facts, query=_source(query))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, html.encode("utf-8", "replace"))


def _shown(columns: Mapping[str, object]) -> dict[str, object]:
    """Columns in words: of the kinds of finding those alone that are there or uncertain."""
    from xlip.study.kinds import is_kind

    shown: dict[str, object] = {}
    for name, value in columns.items():
        stated = is_kind(name) and isinstance(value, int | float)
        if name not in SHOWN_BESIDE and not (stated and value == 0):
            shown[name] = ("present" if value == 1 else "uncertain") if stated else value
    return shown


def _words(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _share(score: float, found: Found) -> int:
    """Length of a hit's bar, in hundredths of the best one's."""
    best = max((hit.score for hit in found.hits), default=0.0)
    return round(100 * max(score, 0.0) / best) if best > 0 else 0


def _source(picture: bytes) -> str:
    if not picture:
        return ""
    kind = "png" if picture.startswith(b"\x89PNG") else "webp" if picture[8:12] == b"WEBP" else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(picture).decode()}"
