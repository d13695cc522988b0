"""Open-i / Indiana University chest X-rays (Demner-Fushman et al. 2016), in its Kaggle, NLM and R2Gen layouts.

A report comes with its first frontal image where the file exists (NLM and R2Gen do not say which are frontal: with its
first one), else alone; its other images are drops with that reason. `uid` stands for the patient.
"""

from __future__ import annotations

import json
import tarfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from xlip.errors import XLIPError
from xlip.reports.sections import SECTIONS, clean
from xlip.sources.source import Candidate, Dropped, Row, first_existing, read_table, relative
from xlip.study.record import Study


def studies(root: Path, layout: str = "auto") -> Iterator[Row]:
    """Reports of one layout: `kaggle`, `nlm`, `r2gen`, or the first of them that is there (`auto`)."""
    marks = {
        "kaggle": ("indiana_reports.csv", _kaggle),
        "nlm": ("*NLMCXR_reports.tgz", _nlm),
        "r2gen": ("annotation.json", _r2gen),
    }
    if layout not in ("auto", *marks):
        raise XLIPError(f"layout: expected auto, {', '.join(marks)}; got {layout!r}")
    for name, (mark, read) in marks.items():
        present = any(root.glob(mark)) or (name == "nlm" and any(root.glob("ecgen-radiology/*.xml")))
        if layout == name or (layout == "auto" and present):
            return read(root)
    raise XLIPError(f"{root}: expected {', '.join(mark for mark, _ in marks.values())} or ecgen-radiology/; found none")


def _candidate(
    root: Path, uid: str, texts: Mapping[str, str | None], file: Path | None, where: str, **fields: Any
) -> Candidate | Dropped:
    """A study of cleaned sections; the view stays unknown: the tables say frontal at best, which may be PA or AP."""
    named = {name: body for name, text in texts.items() if (body := clean(text))}
    if not {"findings", "impression"} & named.keys() and file is None:
        return Dropped(where, "neither a report nor an image")
    path = "" if file is None else relative(file, root)
    fields.setdefault("patient_id", f"openi/{uid}")
    return Candidate(Study(f"openi/{uid}", source="openi", image_path=path, sections=named, **fields), file)


def _others(root: Path, files: Iterable[Path]) -> Iterator[Dropped]:
    for file in files:
        yield Dropped(relative(file, root), "another image of the report: one frontal image is kept with it")


def _kaggle(root: Path) -> Iterator[Row]:
    frontal: dict[str, Path] = {}
    others: list[Path] = []
    folder = root / "images" / "images_normalized"
    if (root / "indiana_projections.csv").is_file():
        for _, row in read_table(root / "indiana_projections.csv", ("uid", "filename", "projection")):
            file = folder / row["filename"]
            if not file.is_file():
                continue
            if row["projection"] != "Frontal" or frontal.setdefault(row["uid"], file) != file:
                others.append(file)
    table = first_existing(root, "indiana_reports.csv")
    for line, row in read_table(table, ("uid", "findings", "impression")):
        texts = {name: row.get(name) for name in ("indication", "comparison", "findings", "impression")}
        tags = tuple(word for word in row.get("MeSH", "").split(";") if word)
        yield _candidate(root, row["uid"], texts, frontal.get(row["uid"]), f"{table.name}:{line}", tags=tags)
    yield from _others(root, others)


def _nlm(root: Path) -> Iterator[Row]:
    for name, raw in _nlm_files(root):
        try:
            tree = ElementTree.fromstring(raw)
        except ElementTree.ParseError as error:
            yield Dropped(name, f"not readable as XML ({error})")
            continue
        texts = {part.get("Label", "").lower(): part.text for part in tree.iter("AbstractText")}
        texts = {label: text for label, text in texts.items() if label in SECTIONS}
        named = (root / "NLMCXR_png" / f"{part.get('id')}.png" for part in tree.iter("parentImage"))
        images = [image for image in named if image.is_file()]
        tags = tuple(part.text for part in tree.findall("MeSH/*") if part.text)
        yield _candidate(root, Path(name).stem, texts, images[0] if images else None, name, tags=tags)
        yield from _others(root, images[1:])


def _nlm_files(root: Path) -> Iterator[tuple[str, bytes]]:
    for file in sorted(root.glob("ecgen-radiology/*.xml")):
        yield file.name, file.read_bytes()
    for archive in sorted(root.glob("*NLMCXR_reports.tgz")):
        try:
            with archive.open("rb") as stream, tarfile.open(fileobj=stream) as tar:
                for member in tar:
                    text = tar.extractfile(member) if member.name.endswith(".xml") else None
                    if text is not None:
                        yield Path(member.name).name, text.read()
        except (tarfile.TarError, EOFError, zlib.error) as error:
            raise XLIPError(f"{archive}: damaged or cut short ({error}); copy or download it again") from error


def _r2gen(root: Path) -> Iterator[Row]:
    table = first_existing(root, "annotation.json")
    try:
        parts = json.loads(table.read_text("utf-8"))
    except ValueError as error:
        raise XLIPError(f"{table}: not readable as JSON ({error}); copy or download it again") from error
    for split, items in parts.items():
        for number, item in enumerate(items):
            named = (root / "images" / path for path in item.get("image_path", []))
            images = [image for image in named if image.is_file()]
            file = images[0] if images else None
            # 'CXR2384_IM-0942' is uid 2384 of the other layouts: leaks between them must show.
            patient = "openi/" + item["id"].split("_")[0].removeprefix("CXR")
            texts, where = {"findings": item.get("report")}, f"{table.name}:{split}[{number}]"
            yield _candidate(root, item["id"], texts, file, where, patient_id=patient, split=split)
            yield from _others(root, images[1:])
