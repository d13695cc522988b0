"""`xlip explain`: maps of any images for kinds, texts or a report's sentences, as pictures, arrays and boxes."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from xlip.errors import XLIPError
from xlip.explain.abstention import rule_of
from xlip.explain.asked import Asked, ask, ask_report
from xlip.explain.explanation import SPANS, Explanation, explain, method
from xlip.explain.films import Film, fault_of, file_name, film_of, is_file, refused_id, several
from xlip.explain.picture import NOTICE, UNITS, picture, to_png
from xlip.files import check_target, reading, whole_text, write_json, write_whole, writing
from xlip.images.files import encode
from xlip.images.square import fit, unfitted
from xlip.runtime.encoder import Encoder
from xlip.runtime.inputs import images_of
from xlip.runtime.quality import judge
from xlip.study.kinds import canonical
from xlip.study.prompts import load_prompts

OWN = "own"
"""The value of `--report` that stands for each image's own report, from its set or table."""
BOX_HEADER = ("film", "words", "kind", "score", "x", "y", "width", "height", "peak")


@dataclass(frozen=True)
class ExplainConfig:
    """`xlip explain`."""

    images: list[str]
    """Images (PNG, JPEG, DICOM, ...), folders or trees of them, tables with a column of paths, prepared sets."""
    model: str
    """Folder of a run, a saved or an exported model, a hub id, hf:NAME, or `phantom`, the model of the package."""
    out: str
    """Folder for index.html, explanations.json, boxes.csv and maps/."""
    kinds: str = ""
    """Kinds to look for, separated by commas."""
    text: list[str] = field(default_factory=list)
    """Texts to look for, each in quotation marks."""
    report: str = ""
    """A report or a file with one: each sentence that names a finding gets a map. `own`: each image's own report."""
    how: str = "auto"
    """response: the map that training masks by, at less than the cost of one encoding; occlusion: what blurring a part
    takes from the score, for any model (50 encodings); auto: response where the model has it."""
    prompts: str = "xlip"
    """A shipped prompt set or a YAML file."""
    rule: str = ""
    """File of `xlip abstain` that says when nothing is coloured; default: abstention.json of the model, else the
    shipped one."""
    image_column: str = ""
    """Table: the column of images."""
    report_column: str = ""
    """Table: the column of reports."""
    id_column: str = ""
    """Table: a column of ids to use instead of hashes of the files; make sure that they name no patient."""
    side: int = 512
    """Pixels of the film in the pictures."""


def explain_films(config: ExplainConfig, encoder: Encoder, say: Callable[[str], None]) -> dict[str, Any]:
    """Explain every image, and write everything but the page; returns what `explanations.json` holds.

    Raises:
        XLIPError: nothing to look for or to look at, and as `ask`, `explain_all` and `images_of`.
    """
    out = Path(config.out)
    check_target(out, folder=True)
    how, rule, asked = method(encoder, config.how), rule_of(config.model, config.rule), _asked(config, encoder)
    with writing(out):
        (out / "maps").mkdir(parents=True, exist_ok=True)
    films: list[dict[str, Any]] = []
    left_out: list[tuple[str, str]] = []
    for film in _films(config, encoder, left_out):
        try:
            words = asked or ask_report(encoder, str(film.columns.get("report", "")), config.prompts)
        except XLIPError as error:
            left_out.append((film.id, str(error)))
            continue
        found = explain(encoder, film.square, words, how, rule=rule)
        films.append(_written(film, found, out, encoder.preprocess, config.side))
        say(
            f"{film.id}: "
            + "; ".join(f"{one.text} {one.score:.2f}{'' if one.found else ' (not found)'}" for one in found)
        )
    if not films:
        first = f" ({len(left_out)} left out; first: {': '.join(left_out[0])})" if left_out else ""
        raise XLIPError(f"{', '.join(config.images[:3])}: expected at least one readable image, got none{first}")
    low, high = SPANS[how]
    result = {
        "checkpoint": encoder.identity,
        "preprocessing": f"{encoder.preprocess}/{encoder.image_size}",
        "prompts": load_prompts(config.prompts).identifier,
        "how": how,
        "scale": {"low": low, "high": high, "unit": UNITS},
        "abstention": rule.to_json(),
        "films": films,
        "left_out": left_out,
        "notice": NOTICE,
    }
    write_json(out / "explanations.json", result)
    _write_boxes(out / "boxes.csv", films)
    return result


def _asked(config: ExplainConfig, encoder: Encoder) -> list[Asked]:
    """What every image is asked; nothing where each is asked by its own report."""
    words = [canonical(name.strip()) for name in config.kinds.split(",") if name.strip()] + config.text
    asked = ask(encoder, words, config.prompts)
    if config.report and config.report != OWN:
        asked += _asked_by(config, encoder)
    if config.report == OWN and asked:
        raise XLIPError("explain.report: own takes no --kinds or --text beside it; run twice")
    if not asked and config.report != OWN:
        raise XLIPError("explain: name what to look for, by --kinds, --text or --report")
    return asked


def _asked_by(config: ExplainConfig, encoder: Encoder) -> list[Asked]:
    """What the report asks, which is text or a file."""
    if not is_file(config.report):
        if not config.report.strip().count(" ") and Path(config.report).suffix:  # one word with a dot: no sentence
            raise XLIPError(f"{config.report}: expected a file with a report, or its text; nothing is there")
        return ask_report(encoder, config.report, config.prompts)
    with reading(config.report):
        text = Path(config.report).read_text("utf-8", "replace")
    try:
        return ask_report(encoder, text, config.prompts)
    except XLIPError as error:
        raise XLIPError(f"{config.report}: {error}") from error


def _films(config: ExplainConfig, encoder: Encoder, left_out: list[tuple[str, str]]) -> Iterator[Film]:
    columns = {name: getattr(config, name) for name in ("image_column", "report_column", "id_column")}
    for source in several(config.images):
        for item in images_of(source, lambda row, why: left_out.append((refused_id(row), why)), **columns):
            try:
                yield film_of(item, encoder, given=bool(config.id_column))
            except XLIPError as error:
                left_out.append((refused_id(item.id), fault_of(error, item)))


def _written(film: Film, found: list[Explanation], out: Path, preprocess: str, side: int) -> dict[str, Any]:
    """The pictures and arrays of a film on disk, and what the JSON file says of it."""
    shown, plain = fit(film.pixels, side, preprocess), f"maps/{file_name(film.id, 'film')}.png"
    write_whole(out / plain, encode(shown, lossless=True))
    rows = []
    for one in found:
        name = file_name(film.id, one.text)
        write_whole(out / "maps" / f"{name}.png", to_png(picture(shown, one)))
        array = io.BytesIO()
        np.save(array, one.map)
        write_whole(out / "maps" / f"{name}.npy", array.getvalue())
        rows.append(_row(one, name, film, preprocess))
    height, width = film.pixels.shape
    warning = judge(film.pixels, str(film.columns.get("view", "")))
    about = {"id": film.id, "width": width, "height": height, "warning": warning, "picture": plain}
    return {**about, "explanations": rows}


def _row(one: Explanation, name: str, film: Film, preprocess: str) -> dict[str, Any]:
    boxes = []
    for box in one.boxes:
        left, top, across, down = unfitted((box.x, box.y, box.width, box.height), film.pixels.shape, preprocess)
        boxes.append({"x": round(left, 1), "y": round(top, 1), "width": round(across, 1), "height": round(down, 1)})
    return {
        "text": one.text,
        "kind": one.kind,
        "score": round(one.score, 4),
        "threshold": round(one.threshold, 4),
        "found": one.found,
        "denied": one.denied,
        "peak": round(float(one.map.max()), 3),
        "boxes": boxes,
        "picture": f"maps/{name}.png",
        "array": f"maps/{name}.npy",
    }


def _write_boxes(file: Path, films: list[dict[str, Any]]) -> None:
    with whole_text(file) as stream:
        table = csv.writer(stream)
        table.writerow(BOX_HEADER)
        for film in films:
            for one in film["explanations"]:
                for box in one["boxes"]:
                    place = [box[side] for side in ("x", "y", "width", "height")]
                    table.writerow([film["id"], one["text"], one["kind"], one["score"], *place, one["peak"]])
