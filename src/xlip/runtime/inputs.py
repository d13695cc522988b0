"""Whatever a user has, as images with what is known of them: prepared sets, tables, folders, DICOM trees, one file."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xlip.errors import XLIPError
from xlip.files import open_path
from xlip.runtime.table_inputs import table_inputs
from xlip.sources.dicom_tree import Archive
from xlip.sources.folder import studies as folder_studies
from xlip.sources.pseudonyms import Private, Pseudonyms, lookup
from xlip.sources.source import Candidate, Dropped, Row, is_table
from xlip.study.labels import to_file
from xlip.study.parquet import is_study_table, read_studies
from xlip.study.record import Study

FIELDS = ("patient_id", "source", "split", "view", "sex", "age", "report", "language")
"""What a study says of itself in a column of its own; each of its kinds is one more column (1, 0, -1 for uncertain)."""
_OF_A_SET = ("patient_id", "source", "split")
"""What a folder says only because every study must say something."""
_READ = ("study_id", *FIELDS, "image", "labels")


@dataclass(frozen=True, slots=True)
class Input:
    """One image, not yet decoded, or a report without one."""

    id: str
    image: Path | str | bytes | None
    """A file or its bytes; None: a report alone, where these were asked for."""
    columns: Mapping[str, Any] = field(default_factory=dict)
    """Name -> text or number; what is unknown is not in it."""


def images_of(
    source: str | os.PathLike[str],
    refuse: Callable[[str, str], None] | None = None,
    *,
    image_column: str = "",
    report_column: str = "",
    id_column: str = "",
    private: Private | None = None,
    reports: bool = False,
) -> Iterator[Input]:
    """The images of any source, in a fixed order; they stream, and no pixel is read.

    A prepared set (folder or file); a table of any format with a column of paths or of pictures; a folder of pictures
    and DICOM files at any depth, by content; one image file. DICOM files come with view, sex and age of their header,
    and under hashed ids: no identifier of a header leaves this function.

    Args:
        source: a path, or an fsspec URL.
        refuse: gets (id or row, reason) of everything that is no usable image by its table or header; it is left out.
        image_column: of a table; default: `path`, `image` or the like, or the only one that holds pictures.
        report_column: of a table; default: `report`, where there is one.
        id_column: of a table; default: the path of the image, or the number of its row.
        private: key of the hashes, and where the list goes that leads back from them; without it the key is random,
            and the ids are new ones in every run.
        reports: also the reports of a prepared set that have no image.

    Raises:
        XLIPError: nothing is there, or a table lacks its columns.
    """
    say = refuse or (lambda row, reason: None)
    path = open_path(source)
    if not path.exists():
        raise XLIPError(f"{source}: expected a prepared set, a table, a folder of images or an image; nothing is there")
    if is_table(str(source)):
        for id_, image, columns in table_inputs(path, say, image_column, report_column, id_column):
            yield Input(id_, image, columns)
    elif is_study_table(path) or (path / "journal").is_dir():
        yield from _prepared(path, reports=reports)
    elif path.is_dir():
        for row in folder_studies(path, private):
            yield from _of_row(row, say)
    else:
        yield from _one(path, private, say)


def _prepared(path: Path, *, reports: bool) -> Iterator[Input]:
    for study in read_studies(path, columns=list(_READ)):
        if study.image is not None or (reports and study.report):
            yield Input(study.study_id, study.image, _columns(study))


def _of_row(row: Row, say: Callable[[str, str], None]) -> Iterator[Input]:
    """The image of a row of the source `folder`; its report is read now, for that is a small file."""
    if isinstance(row, Dropped):
        say(row.row, row.reason)
    elif isinstance(row, Candidate):
        try:
            study = row.complete(row.study) if row.complete else row.study
        except (XLIPError, OSError) as error:
            say(row.study.study_id, str(error))
            return
        known = {name: value for name, value in _columns(study).items() if name not in _OF_A_SET}
        yield Input(study.study_id.removeprefix(f"{study.source}/"), row.file, known)


def _one(path: Path, private: Private | None, say: Callable[[str, str], None]) -> Iterator[Input]:
    """One file: under its name, or a DICOM file under its hash."""
    from xlip.images.header import FIRST_BYTES, looks_like_dicom

    with path.open("rb") as stream:
        if not looks_like_dicom(stream.read(FIRST_BYTES)):
            yield Input(path.name, path)
            return
    with lookup(private.lookup if private else None) as names:
        pseudonyms = Pseudonyms(private)
        archive = Archive(path.parent, pseudonyms, names, "folder", views="all", captures=True, by_path=True)
        archive.add(path.name, path)
    for row in (*archive.rows, *(Candidate(found.study, found.file) for found in archive.found)):
        yield from _of_row(row, say)


def _columns(study: Study) -> dict[str, Any]:
    """What is known of a study, as columns."""
    known = {name: value for name in FIELDS if (value := getattr(study, name)) not in ("", None)}
    return {**known, **{kind: to_file(state) for kind, state in study.labels.items()}}
