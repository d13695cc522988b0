"""`xlip inspect`: prepared studies in the terminal, as plain text and as one HTML page without outside files."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from xlip.errors import XLIPError
from xlip.images.files import decode
from xlip.images.square import shrink
from xlip.reports.highlight import to_html, to_rich
from xlip.study.labels import LabelState
from xlip.study.parquet import parquet_files, read_studies
from xlip.study.record import Study

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

_STYLE = """
body{font:14px/1.45 system-ui,sans-serif;margin:1.5em;background:#f6f6f4;color:#222}
main{display:grid;grid-template-columns:repeat(auto-fill,minmax(340px,1fr));gap:14px}
article{background:#fff;border:1px solid #ddd;border-radius:6px;padding:10px;overflow-wrap:anywhere}
article div.picture{position:relative;display:inline-block}
article img{max-width:100%;display:block;background:#000}
article i{position:absolute;border:2px solid #e8b23a}
h2{font-size:13px;margin:6px 0}dt{font-weight:600;margin-top:4px}dd{margin:0}
mark{color:#222}.present{color:#a02c2c}.absent{color:#777}.uncertain{color:#b0722a}
@media(prefers-color-scheme:dark){body{background:#1b1b1a;color:#ddd}article{background:#262625;border-color:#444}
.present{color:#f08c8c}.absent{color:#999}.uncertain{color:#e0a860}}
"""


@dataclass(frozen=True)
class InspectConfig:
    """`xlip inspect`."""

    path: str
    """Prepared folder or Parquet file."""
    study: str = ""
    """Study id, or the end of one; default: an overview and a sample."""
    out: str = ""
    """HTML file: a contact sheet with images, coloured reports and labels."""
    limit: int = 24
    """Studies of the sample."""
    width: int = 64
    """Columns of an image in the terminal."""


def chosen(path: str | Path, study: str, limit: int) -> list[Study]:
    """The study with an id (or the end of one), or a sample spread over the set.

    Raises:
        XLIPError: no study has this id, or the limit is not positive.
    """
    if limit < 1:
        raise XLIPError(f"limit: expected at least 1 study, got {limit}")
    if not study:
        return list(_sample(Path(path), limit))
    found = list(islice((one for one in read_studies(path) if one.study_id.endswith(study)), limit))
    if not found:
        raise XLIPError(f"{path}: no study whose id ends with {study!r}")
    return found


def terminal_view(study: Study, width: int) -> RenderableType:
    """One study for a `rich` console: image in half blocks, facts, coloured report."""
    from rich.console import Group
    from rich.panel import Panel
    from rich.table import Table

    facts = Table.grid(padding=(0, 1))
    for name, value in _facts(study):
        facts.add_row(f"[bold]{name}", value.replace("[", r"\["))
    parts: list[RenderableType] = [] if study.image is None else [half_blocks(study, width)]
    parts.append(facts)
    for name, text in _texts(study):
        parts += [f"[bold]{name}", text if name != "report" else to_rich(text, study.entities)]
    return Panel(Group(*parts), title=study.study_id.replace("[", r"\["), title_align="left")


def plain_view(study: Study) -> str:
    """One study as lines of plain text without its image, for a pipe or a file: facts, texts, entities."""
    lines = [study.study_id, *(f"  {name}: {value}" for name, value in _facts(study))]
    lines += [f"  {name}: {text}" for name, text in _texts(study)]
    for entity in study.entities:
        words = (study.report or "")[entity.start : entity.end]
        said = ", ".join(part for part in (entity.type, entity.assertion, entity.kind, entity.side) if part)
        lines.append(f"    {words}: {said}")
    return "\n".join(lines)


def half_blocks(study: Study, width: int) -> Text:
    """An image as text: two pixels in each character, its upper and its lower half."""
    import numpy as np
    from rich.text import Text

    pixels = decode(study.image or b"")
    rows = max(2, round(width * pixels.shape[0] / pixels.shape[1]) // 2 * 2)
    small = np.asarray(Image.fromarray(pixels).resize((width, rows), Image.Resampling.BOX))
    text = Text()
    for upper, lower in zip(small[::2], small[1::2], strict=True):
        for top, bottom in zip(upper.tolist(), lower.tolist(), strict=True):
            text.append("▀", f"rgb({top},{top},{top}) on rgb({bottom},{bottom},{bottom})")
        text.append("\n")
    return text


def page(path: str | Path, studies: Sequence[Study]) -> str:
    """A contact sheet as HTML: images with their boxes, labels, report sections, entities coloured."""
    cards = "".join(_card(study) for study in studies)
    title = escape(f"{Path(path).resolve().name}: {len(studies)} studies")
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>'
        f"<h1>{title}</h1><p>Made for research; not for clinical use.</p><main>{cards}</main></html>\n"
    )


def _sample(path: Path, limit: int) -> Iterator[Study]:
    """Studies from evenly spread files, the same number of each."""
    files = parquet_files(path)
    count = min(len(files), limit)
    each = -(-limit // count)
    spread = (files[number * len(files) // count] for number in range(count))
    yield from islice((study for file in spread for study in islice(read_studies(file), each)), limit)


def _facts(study: Study) -> list[tuple[str, str]]:
    size = f"{study.width} x {study.height}" if study.width else ""
    if size and study.pixel_spacing:
        size += f", {study.pixel_spacing[0]:.3g} x {study.pixel_spacing[1]:.3g} mm"
    labels = ", ".join(f"{kind} {LabelState(state).word}" for kind, state in study.labels.items())
    rows = [
        ("patient", study.patient_id),
        ("source", study.source),
        ("split", study.split),
        ("view", study.view),
        ("sex", study.sex),
        ("age", "" if study.age is None else f"{study.age:g}"),
        ("original", size),
        ("labels", labels),
        ("boxes", ", ".join(box.kind for box in study.boxes)),
        ("masks", ", ".join(study.masks)),
        ("tags", ", ".join(study.tags)),
    ]
    return [(name, value) for name, value in rows if value]


def _texts(study: Study) -> list[tuple[str, str]]:
    texts = [("report", study.report)] if study.report else []
    return texts + [(name, text) for name, text in study.sections.items() if text not in (study.report or "")]


def _card(study: Study) -> str:
    facts = "".join(
        f"<dt>{name}</dt><dd>{_labels(study) if name == 'labels' else escape(value)}</dd>"
        for name, value in _facts(study)
    )
    texts = "".join(
        f"<dt>{escape(name)}</dt><dd>{to_html(text, study.entities) if name == 'report' else escape(text)}</dd>"
        for name, text in _texts(study)
    )
    return f"<article><h2>{escape(study.study_id)}</h2>{_picture(study)}<dl>{facts}{texts}</dl></article>"


def _labels(study: Study) -> str:
    words = ((kind, LabelState(state).word) for kind, state in study.labels.items())
    return ", ".join(f'<span class="{word}">{escape(kind)} {word}</span>' for kind, word in words)


def _picture(study: Study) -> str:
    if study.image is None:
        return "<p>no image</p>"
    from xlip.images.files import encode

    data = base64.b64encode(encode(shrink(decode(study.image), 256))).decode()
    boxes = "".join(
        f'<i title="{escape(box.kind)}" style="left:{box.x:.1%};top:{box.y:.1%};'
        f'width:{box.width:.1%};height:{box.height:.1%}"></i>'
        for box in study.boxes
    )
    return f'<div class="picture"><img alt="" src="data:image/jpeg;base64,{data}">{boxes}</div>'
