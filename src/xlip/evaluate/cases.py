"""What an evaluator reads: images with their truth, streamed from prepared Parquet or from a user's CSV."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from xlip.errors import XLIPError
from xlip.files import open_path, reading
from xlip.images.any_form import square
from xlip.reports.whole import read_whole_report
from xlip.sources.csv import studies as csv_studies
from xlip.sources.source import Candidate, Dropped, is_table
from xlip.study.kinds import named
from xlip.study.labels import label_codes, truth
from xlip.study.parquet import parquet_files, read_studies, schema
from xlip.study.phrases import phrases_of
from xlip.study.record import Box, Study
from xlip.study.subgroups import subgroups
from xlip.tables.arrow import data_set_files

REQUIRE = ("labels", "report", "regions", "image")
"""What a case must have besides its image: a label, a report, a box or mask, or nothing."""


@dataclass(frozen=True)
class Case:
    """One image and what is known of it."""

    study_id: str
    patient_id: str
    image: Path | str | bytes | None
    """None once it was read: a case is kept, its pixels are not."""
    labels: Mapping[str, int]
    report: str = ""
    boxes: tuple[Box, ...] = ()
    masks: Mapping[str, bytes] = field(default_factory=dict)
    phrases: Mapping[str, str] = field(default_factory=dict)
    """Kind -> the words that its boxes stand for, where the set has them (MS-CXR)."""
    groups: Mapping[str, str] = field(default_factory=dict)
    """Subgroup (sex, age, view, source) -> value; '' where unknown."""

    def without_pixels(self) -> Case:
        """The case as it is kept in memory."""
        return replace(self, image=None, masks={})


@dataclass(frozen=True)
class Origin:
    """Where cases come from: enough to read them again, and to read another split of the same set."""

    data: str
    split: str = ""
    """'' = every split."""
    require: str = "labels"
    image_column: str = "path"
    patient_column: str = ""
    report_column: str = ""
    kinds: str = ""
    laterals: bool = False

    def cases(self, *, images: bool = True, dropped: list[tuple[str, str]] | None = None) -> Iterator[Case]:
        """The cases in the order of the file; without images, Parquet is read in a fraction of the time."""
        if is_table(self.data):
            yield from self._table([] if dropped is None else dropped)
            return
        columns = None if images else [name for name in schema().names if name not in ("image", "masks")]
        for study in read_studies(self.data, columns=columns):
            if self._wanted(study) and (study.image is not None or not images):
                yield _case(study, study.image)

    def fingerprint(self) -> str:
        """Changes with any byte of the data (of a CSV's images: with path, size and time) and with the choice of it."""
        digest = hashlib.sha256(repr(replace(self, data="", kinds="")).encode())
        with reading(self.data):
            return self._summed(digest)

    def _summed(self, digest: Any) -> str:
        if not is_table(self.data):
            for file in parquet_files(self.data):
                with file.open("rb") as stream:
                    digest.update(hashlib.file_digest(stream, "sha256").digest())
            return str(digest.hexdigest())
        path = open_path(self.data)
        for file in data_set_files(path) if path.is_dir() else [path]:
            digest.update(file.read_bytes())
        for case in self.cases():
            if isinstance(case.image, Path):
                state = case.image.stat()
                digest.update(f"{case.image}\t{state.st_size}\t{state.st_mtime_ns}\n".encode())
        return str(digest.hexdigest())

    def _wanted(self, study: Study) -> bool:
        has = {"labels": study.labels, "report": study.report, "regions": study.boxes or study.masks, "image": True}
        # Without the column of masks this is unknown; the ids of the first reading decide then.
        return bool(
            has[self.require] and self.split in ("", study.split) and (self.laterals or study.view != "LATERAL")
        )

    def _table(self, dropped: list[tuple[str, str]]) -> Iterator[Case]:
        names = ("image_column", "patient_column", "report_column", "kinds")
        for row in csv_studies(open_path(self.data), **{name: getattr(self, name) for name in names}):
            if isinstance(row, Dropped):
                dropped.append((row.row, row.reason))
            elif isinstance(row, Candidate) and (row.study.report or self.require != "report"):
                image = row.file or row.study.image
                if image is not None:
                    yield _case(read_whole_report(row.study), image)


@dataclass
class Cases:
    """The cases of one evaluation."""

    name: str
    items: Iterable[Case]
    kinds: list[str]
    dropped: list[tuple[str, str]] = field(default_factory=list)
    """(row, reason) of what could not be read, filled while the items are read."""
    origin: Origin | None = None
    """None for cases made in memory."""


def open_cases(
    data: str,
    *,
    image_column: str = "path",
    patient_column: str = "",
    report_column: str = "",
    kinds: str = "",
    split: str = "",
    require: str = "labels",
    laterals: bool = False,
) -> Cases:
    """Cases of a prepared folder or file, or of a CSV file.

    Args:
        data: path.
        image_column: of a CSV: column with image paths, relative to the file.
        patient_column: of a CSV: column with patient ids; without it every row is a patient.
        report_column: of a CSV: column with report texts, for retrieval.
        kinds: to evaluate, separated by commas, also of one's own: columns of a CSV, labels of Parquet; default: all
            that the data label.
        split: of Parquet; default: `test` where there is one, else everything.
        require: one of `REQUIRE`.
        laterals: of Parquet: whether lateral views count too.

    Raises:
        XLIPError: nothing there, a missing column, an unknown kind, or no label where labels are required.
    """
    if is_table(data):
        origin = Origin(data, "", require, image_column, patient_column, report_column, kinds)
        return _open_table(origin, named(kinds))
    found: set[str] = set()
    splits: set[str] = set()
    for study in read_studies(data, columns=["split", "labels"]):
        splits.add(study.split)
        found |= set(study.labels)
    chosen = split or ("test" if "test" in splits else "")
    if chosen and chosen not in splits:
        raise XLIPError(f"{data}: no study of split {chosen!r}; its splits are {', '.join(sorted(splits))}")
    origin = Origin(data, chosen, require, laterals=laterals)
    listed = named(kinds, found) or _labelled(data, found, require)
    return Cases(f"{Path(data).stem}/{chosen or 'all'}", _Again(origin), listed, origin=origin)


def other_split(cases: Cases, split: str, data: str = "") -> Cases | None:
    """Another split of the same set (or of the set at `data`), for the same kinds; None where there is none.

    Raises:
        XLIPError: cases made in memory or from a CSV, which has no splits, while `data` names no other set.
    """
    path = data or (cases.origin.data if cases.origin else "")
    if not path or (is_table(path) and not data):
        raise XLIPError(f"{cases.name}: no split {split!r} here; name the set to train on with the option `train`")
    if is_table(path):
        old = cases.origin or Origin(path)
        return open_cases(
            path,
            kinds=",".join(cases.kinds),
            image_column=old.image_column,
            patient_column=old.patient_column,
        )
    if all(study.split != split for study in read_studies(path, columns=["split"])):
        return None
    return open_cases(path, kinds=",".join(cases.kinds), split=split)


def images(
    cases: Iterable[Case], size: int, preprocess: str, dropped: list[tuple[str, str]]
) -> Iterator[tuple[Case, Any]]:
    """Each case with its uint8 (size, size) pixels; one that cannot be read goes to `dropped`."""
    for case in cases:
        assert case.image is not None
        try:
            yield case, square(case.image, size, preprocess)
        except XLIPError as error:
            dropped.append((case.study_id, str(error)))


def label_matrix(cases: Sequence[Case], kinds: Sequence[str]) -> np.ndarray[Any, Any]:
    """(n, K) int8: 1, 0, and -1 for unknown and uncertain."""
    return truth(label_codes([case.labels for case in cases], kinds))


@dataclass(frozen=True)
class _Again:
    """Cases that can be iterated over more than once."""

    origin: Origin

    def __iter__(self) -> Iterator[Case]:
        return self.origin.cases()


def _case(study: Study, image: Path | str | bytes | None) -> Case:
    return Case(
        study.study_id,
        study.patient_id,
        image,
        dict(study.labels),
        study.report or "",
        study.boxes,
        study.masks,
        phrases_of(study.tags),
        subgroups(study),
    )


def _open_table(origin: Origin, wanted: list[str]) -> Cases:
    dropped: list[tuple[str, str]] = []
    items = list(origin.cases(dropped=dropped))
    found = {kind for case in items for kind in case.labels}
    listed = wanted or _labelled(origin.data, found, origin.require, dropped)
    return Cases(Path(origin.data).stem, items, listed, dropped, origin)


def _labelled(data: str, found: set[str], require: str, dropped: Sequence[tuple[str, str]] = ()) -> list[str]:
    if not found and require == "labels":
        first = f" ({len(dropped)} rows dropped; first: {': '.join(dropped[0])})" if dropped else ""
        raise XLIPError(f"{data}: no labels to compare with{first}; add one column per kind, or name them with --kinds")
    return sorted(found)
