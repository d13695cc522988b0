"""Any folder of images or DICOM files, with class folders, split folders and texts where it has them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from xlip.errors import XLIPError
from xlip.files import open_path
from xlip.images.header import FIRST_BYTES, looks_like_dicom
from xlip.notices import notice
from xlip.reports.sections import clean
from xlip.reports.tag_inputs import decode_text
from xlip.sources.dicom_tree import Archive
from xlip.sources.pseudonyms import Private, Pseudonyms, lookup
from xlip.sources.radiograph import MASK_FOLDERS
from xlip.sources.source import Candidate, Dropped, Row
from xlip.sources.tree import tree
from xlip.study.kinds import NO_FINDING, canonical, is_kind
from xlip.study.labels import ABSENT, PRESENT
from xlip.study.record import Study

SUFFIXES = frozenset({
    *(".png", ".jpg", ".jpeg", ".jp2", ".tif", ".tiff", ".bmp", ".webp", ".gif", ".pgm"),
})  # fmt: skip
"""Of pictures that are not DICOM; every other file is looked into."""
_DICOM_SUFFIXES = frozenset({".dcm", ".dicom", ".dic", ""})
_PICTURES = (b"\x89PNG\r\n", b"\xff\xd8\xff", b"II*\0", b"MM\0*", b"BM", b"GIF8", b"RIFF", b"P5", b"\0\0\0\x0cjP")
SPLITS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}


def studies(
    root: Path, private: Private | None = None, patient_pattern: str = "", source: str = "folder"
) -> Iterator[Row]:
    """Every image file under `root`, in the order of its path: by content where the suffix is not that of a picture.

    A folder whose name is a kind, or an alias of one, labels its images: that kind present and, but for No_Finding
    itself, No_Finding absent; in a No_Finding folder the kinds of the other class folders are absent. A folder called
    train, val or test is the split. `name.txt` beside `name.png` is its report.

    The header of a DICOM file says patient, view, sex and age, and whether it is a radiograph at all. Its ids and path
    come as hashes, as in the source `dicom`; with `patient_pattern`, the path is taken to identify no person and stays.

    Args:
        root: the folder; links are followed.
        private: key of the hashes, and where the list goes that leads back from them.
        patient_pattern: regular expression whose first group, found in the path under `root`, is the patient; without
            it every picture is a patient of its own, and splits may leak.
        source: name stored with every study.
    """
    pattern = _compiled(patient_pattern)
    found, rest = _files(root)
    if not found:
        raise XLIPError(f"{root}: expected image or DICOM files, found none")
    folders = {path.rpartition("/")[0] for path in found}
    classes = {canonical(part) for folder in folders for part in folder.split("/") if is_kind(part)}
    shared = {folder: _shared(folder, classes) for folder in folders}
    yield from rest
    with lookup(private.lookup if private else None) as names:
        archive = Archive(root, Pseudonyms(private), names, source=source, views="all", captures=True, by_path=True)
        for path, (file, text, dicom) in found.items():
            patient = pattern.search(path) if pattern else None
            if pattern and patient is None:
                yield Dropped(path, f"patient_pattern {patient_pattern!r} finds no patient in the path")
                continue
            fields = shared[path.rpartition("/")[0]]
            report = partial(_with_report, text) if text else None
            owner = f"{source}/{patient.group(1) if patient else path}"
            if dicom:
                ids = {"study_id": f"{source}/{path}", "patient_id": owner, "image_path": path} if pattern else {}
                yield from _with_header(archive, path, file, fields | ids, report)
            else:
                study = Study(f"{source}/{path}", owner, source, image_path=path, **fields)
                yield Candidate(study, file, report, whole_report=report is not None)


def _compiled(patient_pattern: str) -> re.Pattern[str] | None:
    try:
        pattern = re.compile(patient_pattern) if patient_pattern else None
    except re.error as error:
        raise XLIPError(f"patient_pattern: {patient_pattern!r} is not a regular expression ({error})") from error
    if pattern is not None and not pattern.groups:
        raise XLIPError(f"patient_pattern: expected a group, such as '(p[0-9]+)', in {patient_pattern!r}")
    return pattern


def _files(root: Path) -> tuple[dict[str, tuple[Path | str, Path | str | None, bool]], list[Dropped]]:
    """Path below the root -> image file, its text and whether it is DICOM, in the order of the paths; and the rest."""
    here: dict[str, Path | str] = {}
    rest = []
    for place in tree(root):
        if isinstance(place, Dropped):
            rest.append(place)
        else:
            here[place[0]] = place[1]
    found = {}
    texts = set()
    for path in sorted(here, key=lambda path: path.split("/")):
        suffix = _suffix(path)
        kind = "picture" if suffix.lower() in SUFFIXES else _kind(here[path])
        if any(part.lower() in MASK_FOLDERS for part in path.split("/")[:-1]):
            rest.append(Dropped(path, "not a radiograph: it lies in a folder of masks or thumbnails"))
        elif kind or suffix.lower() in _DICOM_SUFFIXES:
            text = path.removesuffix(suffix) + ".txt"
            texts.add(text)
            found[path] = here[path], here.get(text) if text != path else None, kind != "picture"
        elif suffix != ".txt":
            rest.append(Dropped(path, "neither an image nor DICOM: by its content"))
    rest += [
        Dropped(path, "text without an image: no file beside it has its name")
        for path in here
        if _suffix(path) == ".txt" and path not in texts and path not in found
    ]
    return found, rest


def _kind(file: Path | str) -> str:
    """dicom, picture, or '' for neither, by the first bytes."""
    with (Path(file) if isinstance(file, str) else file).open("rb") as stream:
        first = stream.read(FIRST_BYTES)
    return "dicom" if looks_like_dicom(first) else "picture" if first.startswith(_PICTURES) else ""


def _with_header(
    archive: Archive, path: str, file: Path | str, fields: dict[str, Any], report: Callable[[Study], Study] | None
) -> Iterator[Row]:
    """A DICOM file with what its header and its folders say."""
    archive.add(path, file)
    yield from archive.rows
    archive.rows.clear()
    while archive.found:
        study = archive.found.pop().study._replace(**fields)
        yield Candidate(study, file, report, whole_report=report is not None)


def _suffix(path: str) -> str:
    """As `Path.suffix`, at a tenth of its cost."""
    name = path.rpartition("/")[2]
    dot = name.rfind(".")
    return name[dot:] if 0 < dot < len(name) - 1 else ""


def _shared(folder: str, classes: set[str]) -> dict[str, Any]:
    """What the names of its folders say of a study."""
    parts = folder.split("/")
    return {
        "labels": _labels({canonical(part) for part in parts if is_kind(part)}, classes),
        "split": next((SPLITS[part.lower()] for part in parts if part.lower() in SPLITS), "train"),
    }


def _with_report(file: Path | str, study: Study) -> Study:
    """The study with the whole text of a file as its report."""
    text, guess = decode_text(open_path(file).read_bytes())
    if guess:
        notice(f"encoding of the report guessed: {guess}")
    return study._replace(report=text if clean(text) else None)


def _labels(own: set[str], classes: set[str]) -> dict[str, int]:
    if not own:
        return {}
    if own == {NO_FINDING}:
        return {**dict.fromkeys(sorted(classes), ABSENT), NO_FINDING: PRESENT}
    return {**dict.fromkeys(sorted(own), PRESENT), NO_FINDING: ABSENT}
