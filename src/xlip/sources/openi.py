"""Open-i / Indiana University chest X-rays (Demner-Fushman et al. 2016), in its Kaggle, NLM and R2Gen layouts.

A report comes with its first frontal image where the file exists (NLM and R2Gen do not say which are frontal: with its
first one); its other images are drops with that reason. `uid` stands for the patient. Images are known by their number
(`1000_IM-0003-1001`), in any of the folders and with any suffix of the layouts and of the copies of them.
"""

from __future__ import annotations

import json
import re
import tarfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from xlip.errors import XLIPError
from xlip.files import reading
from xlip.images.files import decode, encode
from xlip.images.square import stretched
from xlip.reports.sections import SECTIONS, clean
from xlip.sources.cells import number
from xlip.sources.openi_tags import labels_of
from xlip.sources.source import Candidate, Dropped, Row, first_existing, optional_table, read_table, relative
from xlip.study.record import Study

FOLDERS = ("images/images_normalized", "images_normalized", "images", "NLMCXR_png", "NLMCXR_dcm/*", ".")
"""Where images are looked for, in this order."""
REPORTS = ("auto", "all", "with_image")
SQUASHED = 0.02
"""An image whose sides differ from those of its original by a larger share than this was squashed."""


def studies(
    root: Path, layout: str = "auto", reports: str = "auto", restore_shape: bool = False, labels: str = ""
) -> Iterator[Row]:
    """Reports of one layout with their images.

    Args:
        root: holds the reports and images of a layout, or a folder that does.
        layout: `kaggle`, `nlm`, `r2gen`, or the first of them that is there (`auto`).
        reports: `with_image`: a report whose image is not there is dropped, since copies leave images out on purpose;
            `all`: its text is kept; `auto`: with_image where there is any image, else all.
        restore_shape: stretch squashed copies to the sides that `nlmcxr_dicom_metadata.csv.gz` gives.
        labels: `tags`: kinds from the tags that people gave, see `xlip.sources.openi_tags`; '' = no labels.
    """
    marks = {
        "kaggle": (("indiana_reports.csv",), _kaggle),
        "nlm": (("*NLMCXR_reports.tgz", "ecgen-radiology/*.xml"), _nlm),
        "r2gen": (("annotation.json",), _r2gen),
    }
    if layout not in ("auto", *marks):
        raise XLIPError(f"layout: expected auto, {', '.join(marks)}; got {layout!r}")
    if reports not in REPORTS:
        raise XLIPError(f"reports: expected one of {', '.join(REPORTS)}; got {reports!r}")
    if labels not in ("", "tags"):
        raise XLIPError(f"labels: expected tags or nothing, got {labels!r}")
    wanted = [layout] if layout != "auto" else list(marks)
    first = first_existing(root, *(pattern for name in wanted for pattern in marks[name][0]))
    base = first.parent.parent if first.parent.name == "ecgen-radiology" else first.parent
    for name in wanted:
        if any(any(base.glob(pattern)) for pattern in marks[name][0]):
            return marks[name][1](_Set(root, base, reports, restore_shape, labels == "tags"))
    raise AssertionError("unreachable: `first_existing` found one of them")


@dataclass(frozen=True)
class _Set:
    """A copy of the set."""

    root: Path
    base: Path
    reports: str
    restore: bool
    by_tags: bool = False

    @cached_property
    def images(self) -> dict[str, Path]:
        """Number of an image -> its file; of several copies the first in `FOLDERS`, a PNG before others."""
        found: dict[str, Path] = {}
        for pattern in FOLDERS:
            for folder in [self.base] if pattern == "." else sorted(self.base.glob(pattern)):
                files = (file for file in folder.iterdir() if re.search(r"(?i)\.(png|jpe?g|dcm|dicom)$", file.name))
                for file in sorted(files, key=lambda file: (file.suffix.lower() != ".png", file.name)):
                    found.setdefault(image_number(file.name), file)
        return found

    @cached_property
    def with_image(self) -> bool:
        """Whether reports without an image are left out."""
        return self.reports == "with_image" or (self.reports == "auto" and any(_own_files(self.base, self.images)))

    @cached_property
    def sides(self) -> dict[str, tuple[int, int]]:
        """Number of an image -> width and height of its original."""
        table = optional_table(self.base, "nlmcxr_dicom_metadata.csv*")
        rows = (
            (row.get("imageid", ""), number(row.get("Columns", "")), number(row.get("Rows", ""))) for _, row in table
        )
        return {image_number(id_): (int(width), int(height)) for id_, width, height in rows if width and height}

    def candidate(
        self, uid: str, texts: Mapping[str, str | None], file: Path | None, where: str, **fields: Any
    ) -> Candidate | Dropped:
        """A study of cleaned sections; the view stays unknown: tables say frontal at best, which may be PA or AP."""
        named = {name: body for name, text in texts.items() if (body := clean(text))}
        if not {"findings", "impression"} & named.keys() and file is None:
            return Dropped(where, "neither a report nor an image")
        if file is None and self.with_image:
            return Dropped(where, "no image of this report is here; `reports: all` keeps its text alone")
        path = "" if file is None else relative(file, self.root)
        fields.setdefault("patient_id", f"openi/{uid}")
        if self.by_tags:
            fields["labels"] = labels_of(fields.get("tags", ()))
        study = Study(f"openi/{uid}", source="openi", image_path=path, sections=named, **fields)
        sides = self.sides.get(image_number(file.name)) if file is not None and self.restore else None
        if sides is None:
            return Candidate(study, file)
        return Candidate(study, complete=partial(_restored, str(file), sides))

    def others(self, files: Iterable[Path]) -> Iterator[Dropped]:
        """Further images of a report."""
        for file in files:
            reason = "another image of the report: one frontal image is kept with it"
            yield Dropped(relative(file, self.root), reason)


def image_number(name: str) -> str:
    """`1_IM-0001-4001` of `1_IM-0001-4001.dcm.png`, `CXR1_IM-0001-4001.png` ..."""
    return re.sub(r"(?i)^(\./)?(CXR)?|(\.(png|jpe?g|dcm|dicom))+$", "", name)


def _own_files(base: Path, images: Mapping[str, Path]) -> Iterator[Path]:
    yield from images.values()
    yield from base.glob("images/*/*.png")


def _restored(file: str, sides: tuple[int, int], study: Study) -> Study:
    """The image at the shape of its original; in a worker process."""
    width, height = sides
    pixels = decode(file)
    share = (pixels.shape[1] / pixels.shape[0]) / (width / height)
    if abs(share - 1) > SQUASHED:
        pixels = stretched(pixels, width / height)
    return study._replace(image=encode(pixels), width=width, height=height)


def _kaggle(copy: _Set) -> Iterator[Row]:
    frontal: dict[str, Path] = {}
    others: list[Path] = []
    faults: list[Row] = []
    if (copy.base / "indiana_projections.csv").is_file():
        table = copy.base / "indiana_projections.csv"
        for _, row in read_table(table, ("uid", "filename", "projection"), faults):
            image = copy.images.get(image_number(row["filename"]))
            if image is not None and (row["projection"] != "Frontal" or frontal.setdefault(row["uid"], image) != image):
                others.append(image)
    table = copy.base / "indiana_reports.csv"
    for line, row in read_table(table, ("uid", "findings", "impression"), faults):
        texts = {name: row.get(name) for name in ("indication", "comparison", "findings", "impression")}
        tags = tuple(word for word in row.get("MeSH", "").split(";") if word)
        yield copy.candidate(row["uid"], texts, frontal.get(row["uid"]), f"{table.name}:{line}", tags=tags)
    yield from copy.others(others)
    yield from faults


def _nlm(copy: _Set) -> Iterator[Row]:
    for name, raw in _nlm_files(copy.base):
        try:
            tree = ElementTree.fromstring(raw)
        except ElementTree.ParseError as error:
            yield Dropped(name, f"not readable as XML ({error})")
            continue
        texts = {part.get("Label", "").lower(): part.text for part in tree.iter("AbstractText")}
        texts = {label: text for label, text in texts.items() if label in SECTIONS}
        named = (copy.images.get(image_number(str(part.get("id")))) for part in tree.iter("parentImage"))
        images = [image for image in named if image is not None]
        tags = tuple(part.text for part in tree.findall("MeSH/*") if part.text)
        yield copy.candidate(Path(name).stem, texts, images[0] if images else None, name, tags=tags)
        yield from copy.others(images[1:])


def _nlm_files(base: Path) -> Iterator[tuple[str, bytes]]:
    for file in sorted(base.glob("ecgen-radiology/*.xml")):
        yield file.name, file.read_bytes()
    for archive in sorted(base.glob("*NLMCXR_reports.tgz")):
        try:
            with archive.open("rb") as stream, tarfile.open(fileobj=stream) as tar:
                for member in tar:
                    text = tar.extractfile(member) if member.name.endswith(".xml") else None
                    if text is not None:
                        yield Path(member.name).name, text.read()
        except (tarfile.TarError, EOFError, zlib.error) as error:
            raise XLIPError(f"{archive}: damaged or cut short ({error}); copy or download it again") from error


def _r2gen(copy: _Set) -> Iterator[Row]:
    table = copy.base / "annotation.json"
    with reading(table, "expected JSON; copy or download it again"):
        parts = {split: [dict(item) for item in items] for split, items in json.loads(table.read_text("utf-8")).items()}
    whole: dict[str, list[Path]] = {}
    for key, image in sorted(copy.images.items()):  # the numbers of the other layouts begin with the id of this one
        whole.setdefault(key.rpartition("-")[0], []).append(image)
    for split, items in parts.items():
        for place, item in enumerate(items):
            named = (copy.base / "images" / path for path in item.get("image_path", []))
            images = [one for one in named if one.is_file()] or whole.get(image_number(item["id"]), [])
            file = images[0] if images else None
            # 'CXR2384_IM-0942' is uid 2384 of the other layouts: leaks between them must show.
            patient = "openi/" + item["id"].split("_")[0].removeprefix("CXR")
            texts, where = {"findings": item.get("report")}, f"{table.name}:{split}[{place}]"
            yield copy.candidate(item["id"], texts, file, where, patient_id=patient, split=split)
            yield from copy.others(images[1:])
