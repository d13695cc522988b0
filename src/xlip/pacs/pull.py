"""`xlip pacs pull`: radiographs from a DICOMweb server into a spool folder."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from xlip.errors import XLIPError
from xlip.files import reading
from xlip.pacs.access import Access
from xlip.pacs.paging import Paged, by_days, everything
from xlip.pacs.spool import Spool, megabytes
from xlip.pacs.web import WebError, WebPeer, value_of

STUDY, SERIES, INSTANCE, MODALITY, DATE = "0020000D", "0020000E", "00080018", "00080060", "00080020"
SERIES_COUNT, INSTANCE_COUNT = "00201206", "00201209"
OLDEST = date(1900, 1, 1)


@dataclass(frozen=True)
class PullConfig:
    """What is pulled from where."""

    url: str
    """Address of the DICOMweb service, such as https://pacs.example/dicom-web."""
    out: str
    """Folder for the files, named by hashes; those that are there are not asked for again."""
    date: str = ""
    """Days of the studies: 20200101, or 20200101-20201231 (either end may be left out)."""
    modality: str = "CR,DX"
    """Modalities of the series, separated by commas; empty: all."""
    studies: str = ""
    """Text file with one Study Instance UID on each line: these instead of a search."""
    page: int = 500
    """Results asked for at once."""
    megabytes: int = 512
    """Largest instance that is fetched, in megabytes; a larger one is left out."""
    reserve: int = 1024
    """Megabytes that are left free on the disk."""
    access: Access = field(default_factory=Access)
    """Names, passwords and certificates for the server."""


@dataclass
class Pulled:
    """What a pull came to."""

    studies: int = 0
    fetched: int = 0
    there: int = 0
    """Instances that an earlier pull had fetched."""
    failed: Counter[str] = field(default_factory=Counter)
    """Reason -> instances, series or studies that could not be had."""
    warnings: Counter[str] = field(default_factory=Counter)
    """What may be missing though nothing failed."""


def pull(config: PullConfig, progress: Callable[[int, int], None] = lambda done, total: None) -> Pulled:
    """Search (QIDO-RS), then fetch each instance that is not there yet (WADO-RS); a second run goes on.

    Args:
        config: what and where.
        progress: called with studies done and studies found.

    Raises:
        XLIPError: nothing can be had from this server, or nothing kept.
    """
    spool = Spool(Path(config.out), megabytes(config.reserve, "--reserve"))
    first, last = _days(config.date)
    if config.page < 2:
        raise XLIPError(f"--page: expected at least 2 results, got {config.page}")
    peer = WebPeer(config.url, config.access, megabytes(config.megabytes, "--megabytes"))
    wanted = {name.strip().upper() for name in config.modality.split(",") if name.strip()}
    done = Pulled()
    try:
        studies = _listed(config.studies) if config.studies else _found(peer, config.page, first, last, wanted, done)
    except WebError as error:
        raise XLIPError(f"pacs pull: the search for studies failed: {error}") from error
    done.studies = len(studies)
    for number, (study, item) in enumerate(studies.items(), 1):
        with _counted(done, "studies"):
            for series, listed in _series(peer, config.page, study, item, wanted, done):
                with _counted(done, "series"):
                    _fetch(peer, config.page, spool, study, series, listed, done)
        progress(number, len(studies))
    return done


def _fetch(peer: WebPeer, size: int, spool: Spool, study: str, series: str, item: dict[str, Any], done: Pulled) -> None:
    fetch = partial(peer.instances, study, series)
    listed = everything(fetch, lambda one: value_of(one, INSTANCE), size, _number(item, INSTANCE_COUNT))
    if not listed.complete:
        done.warnings["series that may have more instances than the server lists"] += 1
    for instance in listed.items:
        if spool.has(instance):
            done.there += 1
            continue
        with _counted(done, "instances"):
            data = peer.instance(study, series, instance)
            try:
                spool.put(instance, data)
            except OSError as error:
                raise XLIPError(
                    f"{spool.folder}: cannot write ({error.strerror}); make room, and run it again"
                ) from error
            done.fetched += 1


def _found(
    peer: WebPeer, size: int, first: date | None, last: date | None, wanted: set[str], done: Pulled
) -> dict[str, dict[str, Any]]:
    """Studies of the days that have one of the modalities, whatever of these filters the server obeys."""
    studies: dict[str, dict[str, Any]] = {}
    for modality in sorted(wanted) or [""]:
        search = partial(_of_days, peer, size, modality)
        found = search(first, last)
        if not found.complete:
            by_days(search, first or OLDEST, last or date.today() + timedelta(days=1), found)
            if not (first and last):
                done.warnings["search split by days, which finds no study without a date"] += 1
        if not found.complete:
            done.warnings["search that the server cut short: narrow it with --date and --modality"] += 1
        studies |= found.items
    outside = [uid for uid, item in studies.items() if not _within(value_of(item, DATE), first, last)]
    if outside:
        done.warnings["studies of other days that the server sent, left out"] += len(outside)
    return {uid: item for uid, item in studies.items() if uid not in outside}


def _of_days(peer: WebPeer, size: int, modality: str, first: date | None, last: date | None) -> Paged:
    filters = {"ModalitiesInStudy": modality} if modality else {}
    if first or last:
        days = [f"{day:%Y%m%d}" if day else "" for day in (first, last)]
        filters["StudyDate"] = days[0] if first == last else "-".join(days)
    return everything(partial(peer.studies, filters), lambda item: value_of(item, STUDY), size)


def _series(
    peer: WebPeer, size: int, study: str, item: dict[str, Any], wanted: set[str], done: Pulled
) -> Iterator[tuple[str, dict[str, Any]]]:
    fetch = partial(peer.series, study)
    listed = everything(fetch, lambda one: value_of(one, SERIES), size, _number(item, SERIES_COUNT))
    if not listed.complete:
        done.warnings["studies that may have more series than the server lists"] += 1
    for series, one in listed.items.items():
        if not wanted or value_of(one, MODALITY).upper() in wanted:
            yield series, one


@contextmanager
def _counted(done: Pulled, what: str) -> Iterator[None]:
    """Counts a fault of the server by its reason, and lets the work go on."""
    try:
        yield
    except WebError as error:
        done.failed[f"{what}: {error}"] += 1


def _number(item: dict[str, Any], tag: str) -> int:
    text = value_of(item, tag)
    return int(text) if text.isdigit() else 0


def _listed(path: str) -> dict[str, dict[str, Any]]:
    with reading(path, "name a text file with one Study Instance UID on each line"):
        lines = [line.strip() for line in Path(path).read_text("utf-8").splitlines()]
    for number, line in enumerate(lines, 1):
        if line and not re.fullmatch(r"[0-9.]{1,64}", line):
            raise XLIPError(f"{path}, line {number}: expected a Study Instance UID (digits and dots)")
    if not any(lines):
        raise XLIPError(f"{path}: expected Study Instance UIDs, found none")
    return {line: {} for line in lines if line}


def _days(text: str) -> tuple[date | None, date | None]:
    """The range that `--date` means; None for an open end."""
    ends = re.fullmatch(r"(\d{8})?(-(\d{8})?)?", text)
    if ends is None or text == "-":
        raise XLIPError(f"--date: expected 20200101 or 20200101-20201231, got {text!r}")
    try:
        first = datetime.strptime(ends[1], "%Y%m%d").date() if ends[1] else None
        last = datetime.strptime(ends[3], "%Y%m%d").date() if ends[3] else None
    except ValueError as error:
        raise XLIPError(f"--date: no such day in {text!r}; expected such as 20200101-20201231") from error
    if first and not ends[2]:
        last = first
    if first and last and first > last:
        raise XLIPError(f"--date: {text!r} ends before it begins")
    return first, last


def _within(day: str, first: date | None, last: date | None) -> bool:
    """Whether a study is of the days; one that does not say its day may be."""
    if not re.fullmatch(r"\d{8}", day):
        return True
    return (not first or day >= f"{first:%Y%m%d}") and (not last or day <= f"{last:%Y%m%d}")
