"""One part of a preparation, made by one process: images loaded, reports composed and tagged, file written."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np

from xlip import __version__
from xlip.errors import XLIPError
from xlip.files import whole_file, write_whole, writing
from xlip.images.files import BURNED_IN, Look, decode, encode, load_for_storage
from xlip.images.plausible import faults
from xlip.images.square import shrink
from xlip.notices import noticed
from xlip.preparation.plan import Unit
from xlip.reports.sections import compose_sections
from xlip.reports.whole import read_whole_report, without_identifiers
from xlip.sources.identifiers import without_identifiers as known_out
from xlip.sources.source import Candidate, Dropped, Noticed
from xlip.study.parquet import write_stream
from xlip.study.record import Box, Study

JOURNAL = "journal"
VERSION = __version__
FIRST, EVERY = 4, 64
"""Pictures of a part in which writing is looked for at full size: the first ones, and then one of so many."""
EARLIER = "burned-in text was found by sample: other JPEG files before it may hold some; --writing true looks at each"
OLDEST = 90.0
"""Years that stand for every higher age where a set is de-identified: so old people are few (45 CFR 164.514)."""


class InterruptedRunError(XLIPError):
    """A fault that no single row causes (the disk is full, the source is gone): the run stops and can be resumed."""


@dataclass(frozen=True)
class Settings:
    """What a worker needs to know."""

    root: Path
    work: Path
    short_side: int
    lossless: bool
    priority: str
    deidentify: bool
    writing: str = "no"
    """Whether writing is looked for in pictures that are no DICOM files: no, full, or by `sample` (see `Sample`)."""


@dataclass
class Sample:
    """In which pictures of a part writing is looked for at full size, which is slow in a large JPEG.

    By sample: the first ones of the part, and a few of the others; all of them from the first find on, because whoever
    writes into one picture writes into many. The others are looked at as they were decoded.
    """

    how: str
    seen: int = 0
    found: bool = False

    def next(self) -> Look:
        """How to look at the next picture."""
        self.seen += 1
        if self.how != "sample":
            return "full" if self.how == "full" else "no"
        return "full" if self.found or self.seen <= FIRST or self.seen % EVERY == 0 else "decoded"

    def take(self, notices: list[str]) -> None:
        """Learn from what was noticed of a study; at the first find, says that earlier ones were not all looked at."""
        if self.how == "sample" and not self.found and any(said.startswith(BURNED_IN) for said in notices):
            self.found = True
            if self.seen > FIRST:
                notices.append(EARLIER)


@dataclass
class Account:
    """What became of the rows of a part beside the studies that were kept."""

    dropped: list[tuple[str, str]] = field(default_factory=list)
    """Row and reason."""
    noticed: list[tuple[str, str, str]] = field(default_factory=list)
    """Row, file and reason."""


def run_unit(unit: Unit, settings: Settings, fatal: dict[int, str], tick: Callable[[int], None]) -> int:
    """Write the part file and then its completion record; returns the number of studies kept.

    Both are functions of the rows and the settings alone, whatever process of whatever machine makes them. The record
    holds a digest of what went in (plan, rows), the version of the programs, the counts, and every drop and notice.

    Args:
        unit: the rows.
        settings: of the run.
        fatal: rows (by number) that killed an earlier process, with the reason; they go to quarantine unread.
        tick: called with the number of each row before it is read.

    Raises:
        InterruptedRunError: nothing could be written, or the source has vanished.
    """
    if any(isinstance(row, Candidate) and (row.complete or row.study.report) for row in unit.rows):
        _tagged(Study("", "", "", report=" "))  # loads the lexicon before the first row, whose time is watched
    account = Account()
    kept = write_part(_loaded(unit, settings, fatal, account, tick), settings.work, f"{unit.name}.parquet")
    size = (settings.work / f"{unit.name}.parquet").stat().st_size
    record = {"key": unit.key, "version": VERSION, "rows": len(unit.rows), "kept": kept, "bytes": size, **vars(account)}
    write_final(settings.work / JOURNAL / f"{unit.name}.json", json.dumps(record).encode())
    return kept


def load_study(candidate: Candidate, settings: Settings, samples: list[bytes], sample: Sample) -> Study:
    """The whole study of a candidate: completed, report composed, image in storable form, boxes as shares.

    `samples` gets what is asked of its picture later, together with the others of its part (`plausible.faults`);
    `sample` says how writing is looked for in it.

    Raises:
        XLIPError: it cannot be used; the message says why.
    """
    study = candidate.study
    if candidate.complete:
        study = candidate.complete(study)
    if settings.deidentify and candidate.known and study.report:
        study = study._replace(report=known_out(study.report, candidate.known))
    study = _with_report(study, settings, whole=candidate.whole_report)
    if settings.deidentify and study.age is not None and study.age >= OLDEST:
        study = study._replace(age=OLDEST)
    image = candidate.file if candidate.file is not None else study.image
    if image is not None:
        study = _with_image(study, image, candidate, settings, samples, sample)
    elif study.report is None:
        raise XLIPError("neither a report nor an image")
    return candidate.look(study) if candidate.look else study


def _with_report(study: Study, settings: Settings, *, whole: bool) -> Study:
    """The report that the settings choose, without identifiers where they ask for it."""
    if whole and study.report is not None:
        return read_whole_report(study, settings.priority, deidentified=settings.deidentify)
    if study.report is None and study.sections:
        study = study._replace(report=compose_sections(study.sections, settings.priority))
    return without_identifiers(study) if settings.deidentify and study.report else study


def _with_image(
    study: Study, image: Any, candidate: Candidate, settings: Settings, samples: list[bytes], sample: Sample
) -> Study:
    stored = load_for_storage(image, settings.short_side, lossless=settings.lossless, writing=sample.next())
    samples.append(stored.samples)
    known = (study.width, study.height) if study.width and study.height else (stored.width, stored.height)
    return study._replace(
        image=stored.data,
        width=known[0],
        height=known[1],
        pixel_spacing=study.pixel_spacing or stored.pixel_spacing,
        masks={kind: _shrunk_mask(png, settings.short_side) for kind, png in study.masks.items()},
        boxes=study.boxes or _shares(candidate.boxes, candidate.frame or (stored.width, stored.height)),
    )


def _shrunk_mask(png: bytes, short_side: int) -> bytes:
    """A mask at the size of the stored image; a pixel is white where half of it was."""
    mask = decode(png)
    return encode((shrink(mask, short_side) >= 128).astype(np.uint8) * 255, lossless=True)


def _shares(boxes: tuple[Box, ...], frame: tuple[int, int]) -> tuple[Box, ...]:
    """Boxes in pixels of a frame (width, height) as shares of it, cut at its border; what lies outside is left out."""
    width, height = frame
    made = []
    for box in boxes:
        left, top = max(box.x / width, 0.0), max(box.y / height, 0.0)
        right, bottom = min((box.x + box.width) / width, 1.0), min((box.y + box.height) / height, 1.0)
        if right > left and bottom > top:
            made.append(Box(box.kind, left, top, right - left, bottom - top))
    return tuple(made)


def _loaded(
    unit: Unit, settings: Settings, fatal: dict[int, str], account: Account, tick: Callable[[int], None]
) -> Iterator[Study]:
    said: list[tuple[int, str, str, str]] = []
    pictures: list[bytes] = []
    shown: list[tuple[int, str, str]] = []
    sample = Sample(settings.writing)
    with noticed() as found:
        for number, row in enumerate(unit.rows):
            if isinstance(row, Dropped):
                account.dropped.append((row.row, row.reason))
                continue
            if isinstance(row, Noticed):
                said.append((number, row.row, row.file, row.reason))
                continue
            tick(number)
            found.clear()
            samples: list[bytes] = []
            try:
                study = _study(row, fatal.get(number), settings, samples, sample)
            except (XLIPError, OSError) as error:
                _drop(row, error, settings, account)
                continue
            sample.take(found)
            said += [(number, study.study_id, study.image_path, reason) for reason in found]
            if samples:
                pictures += samples
                shown.append((number, study.study_id, study.image_path))
            yield study
    said += [(*whose, reason) for whose, reason in zip(shown, faults(pictures), strict=True) if reason]
    account.noticed += [line[1:] for line in sorted(said, key=itemgetter(0))]


def _study(row: Candidate, fatal: str | None, settings: Settings, samples: list[bytes], sample: Sample) -> Study:
    if fatal is not None:
        raise XLIPError(f"{row.file or row.study.study_id}: {fatal}")
    return _tagged(load_study(row, settings, samples, sample))


def _drop(row: Candidate, error: XLIPError | OSError, settings: Settings, account: Account) -> None:
    if row.file is not None and not settings.root.exists():
        raise InterruptedRunError(
            f"{settings.root}: the source has vanished; bring it back and run the same command again"
        ) from error
    account.dropped.append((row.study.study_id, _without_path(_said(error), row)))
    if row.report_row:
        account.dropped.append((row.report_row, f"report of a dropped image: {row.study.study_id}"))


def _without_path(reason: str, row: Candidate) -> str:
    """A reason that names the image as the study does: a full path differs between machines and may name a patient."""
    return reason if row.file is None else reason.replace(str(row.file), row.study.image_path)


def _said(error: XLIPError | OSError) -> str:
    """An error in words; the system's own name a path in a spelling that `_without_path` would miss."""
    return f"cannot read: {error.strerror or type(error).__name__}" if isinstance(error, OSError) else str(error)


def _tagged(study: Study) -> Study:
    """With entities, who found them, and what they say of kinds; the source's own entities where it brought some."""
    if not study.report:
        return study
    from xlip.reports.entities import tag_report, with_entities  # loads the tagger: not where there is no report

    return with_entities(study, study.entities, study.tagger) if study.entities else tag_report(study)


def write_part(studies: Iterator[Study], folder: Path, name: str) -> int:
    """One Parquet file that is whole or not there; returns the number of its studies."""
    with _writing(folder / name), whole_file(folder / name) as stream:
        return write_stream(studies, stream)


def write_final(path: Path, data: bytes) -> None:
    """Write a small file of a preparation that is whole or not there.

    Raises:
        InterruptedRunError: it cannot be written.
    """
    with _writing(path):
        write_whole(path, data)


def _writing(path: Path) -> AbstractContextManager[None]:
    advice = "make room or choose another --out, then run the same command again: it goes on where it stopped"
    return writing(path, advice, InterruptedRunError)
