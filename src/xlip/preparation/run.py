"""`xlip prepare`: a raw data set to a folder of Parquet parts, tables of drops and warnings, and a data card.

Two passes over the source's tables: the survey counts and fixes the parts (`prepare_plan`), then processes make one
part each (`prepare_unit`, `prepare_pool`). A part and its journal entry are final: a killed run goes on from there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from xlip.errors import XLIPError
from xlip.files import open_path
from xlip.preparation.card import Summary, finish
from xlip.preparation.part import Settings
from xlip.preparation.plan import Plan, Unit, survey, units
from xlip.preparation.pool import run_units
from xlip.preparation.splits import Item, Split, make_split, rule
from xlip.preparation.splits.rule import by_hash
from xlip.preparation.target import Target
from xlip.reports.entities import TAGGER
from xlip.reports.sections import DEFAULT_PRIORITY, compose_sections
from xlip.sources import load_source
from xlip.sources.source import Candidate, Row

OWN = frozenset({"csv", "folder", "dicom"})
"""Sources of one's own archives, whose reports still name people."""
ENCODINGS = ("jpeg", "png")
KEPT_ROWS = 20_000
"""Rows of a source that may stay in memory, some 20 MB."""
Progress = Callable[[int, int], None]
"""Called with (rows read so far, rows in all)."""


@dataclass(frozen=True)
class PrepareConfig:
    """`xlip prepare`."""

    source: str
    """Name of the data set's layout."""
    out: str
    """Folder or fsspec URL to write."""
    root: str = "."
    """Folder or fsspec URL of the raw set; for `csv`, the file."""
    short_side: int = 256
    """Larger images are reduced until their shorter side has this many pixels."""
    holdout: float = 0.0
    """Share of the patients that become the split `test`."""
    validation: float = 0.0
    """Share of the patients, others than these, that become the split `val`."""
    seed: int = 0
    """Of both."""
    workers: int = 2
    """Processes that make parts; 0 = in this process."""
    encoding: str = "jpeg"
    """jpeg (quality 95) or png, for images that cannot be kept byte for byte."""
    sections: str = "findings,impression"
    """Report sections: commas join, bars choose the first that is there (`impression|findings`)."""
    deidentify: bool | None = None
    """Replace names, dates, numbers and addresses in reports by marks such as [NAME]; default: in one's own archives
    (csv, folder, dicom), not in public sets, whose owners have done it."""
    split: str = ""
    """Name of a split (`nih/official`, `rsna/gloria` ...) that replaces the source's own."""
    lists: str = ""
    """Folder with your copies of the official lists; default: root."""
    shard: str = ""
    """i/n: make only the i-th n-th of the parts (i from 0), to divide a set over n machines."""
    strict: bool = False
    """Take warnings for errors: no set is written where anything was guessed, repaired or lost."""
    options: dict[str, Any] = field(default_factory=dict)
    """The source's own: `--options.image_column path`, say."""


def prepare(
    source: str,
    root: str | Path,
    out: str | Path,
    *,
    short_side: int = 256,
    holdout: float = 0.0,
    validation: float = 0.0,
    seed: int = 0,
    workers: int = 2,
    options: Mapping[str, Any] | None = None,
    encoding: str = "jpeg",
    sections: str = DEFAULT_PRIORITY,
    deidentify: bool | None = None,
    split: str = "",
    lists: str | Path = "",
    shard: str = "",
    strict: bool = False,
    progress: Progress | None = None,
) -> Summary:
    """Write Parquet parts, `quarantine.csv`, `warnings.csv`, `stats.json`, `README.md` and pictures; all or nothing.

    A run that was stopped in any way goes on where it stopped when it is called again with the same arguments.

    Args:
        source: a name in `SOURCES`.
        root: folder (or CSV file) of the raw set; a path or an fsspec URL.
        out: folder to write, a path or an fsspec URL; an earlier prepared local one is replaced at the end.
        short_side: larger images are reduced to this, pixels.
        holdout: share of the patients whose split becomes `test`, see `held_out`; the rest keep the source's split.
        validation: share of the patients, others than these, whose split becomes `val`.
        seed: of both.
        workers: processes that make parts; 0 = in this process.
        options: the source's own.
        encoding: `jpeg` (quality 95) or `png` for images that cannot be kept as they are.
        sections: which sections make a report, see `xlip.reports.sections.compose_sections`.
        deidentify: whether names, dates, numbers and addresses in reports become marks; default: for `OWN` sources.
        split: name of a split, see `xlip.preparation.splits`; it replaces the source's own.
        lists: folder of the official lists that the split reads; default: `root`.
        shard: `i/n` (from 0) makes part of the parts; the run that finds all of them done writes the card.
        strict: take warnings for errors; the same call without it then goes on from there.
        progress: called now and then.

    Raises:
        XLIPError: wrong layout or option, nothing usable, `out` is foreign or not writable, warnings where `strict`.
    """
    root, out = open_path(root), open_path(out)
    index, count = _checked(holdout, validation, short_side, encoding, sections, shard)
    named = {"short_side": short_side, "encoding": encoding, "sections": sections, "split": split}
    hidden = source in OWN if deidentify is None else deidentify
    # The tagger's version too: a set that another one began is not gone on with.
    shares = {"holdout": holdout, "validation": validation, "seed": seed}
    settings = {"root": str(root), **named, "tagger": TAGGER, "deidentify": hidden, **shares, **(options or {})}
    read = _once(partial(_rows, source, root, options or {}, holdout, validation, seed))
    plan = survey(read(), {"source": source, **settings}, _splitter(split, lists, root))
    target = Target.at(out, shared=count > 1)
    worker = Settings(root, target.work, short_side, encoding == "png", sections, hidden)
    with target.opened(plan):
        meter = _Meter(progress, plan.studies)
        wanted = (unit for unit in units(read(), plan) if unit.part % count == index)
        run_units(_unfinished(wanted, target, meter), worker, workers, meter.add)
        meter.close()
        return finish(target, plan, source, settings, strict=strict)


def _once(read: Callable[[], Iterator[Row]]) -> Callable[[], Iterable[Row]]:
    """The rows of a source, which are gone through twice: those of a small one without pictures are kept."""
    kept: list[Row] = []
    for row in read():
        if len(kept) == KEPT_ROWS or (isinstance(row, Candidate) and (row.study.image or row.study.masks)):
            return read
        kept.append(row)
    return lambda: kept


def _splitter(name: str, lists: str | Path, root: Path) -> Callable[[list[Item]], Split] | None:
    """What makes the named split of the items; None where none is asked for."""
    if not name:
        return None
    rule(name)  # an unknown name is refused before the set is read
    folder = open_path(lists) if str(lists) not in ("", ".") else root
    return lambda items: make_split(name, items, folder)


def held_out(patient_id: str, seed: int, share: float) -> bool:
    """Whether a patient belongs to the test split: a hash of seed and patient, the same for ever and everywhere."""
    return by_hash(patient_id, seed, share)


class _Meter:
    """Turns increments into (done, total) for a progress display."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self.progress, self.total, self.done = progress, total, 0

    def add(self, rows: int) -> None:
        self.done += rows
        if self.progress and rows:
            self.progress(min(self.done, self.total), self.total)

    def close(self) -> None:
        if self.progress:
            self.progress(self.done, max(self.done, 1))


def _unfinished(wanted: Iterator[Unit], target: Target, meter: _Meter) -> Iterator[Unit]:
    for unit in wanted:
        if target.finished_kept(unit) is None:
            yield unit
        else:
            meter.add(len(unit.rows))


def _checked(
    holdout: float, validation: float, short_side: int, encoding: str, sections: str, shard: str
) -> tuple[int, int]:
    if not 0 <= holdout < 1:
        raise XLIPError(f"holdout: expected a share in [0, 1), got {holdout}")
    if not 0 <= validation < 1 - holdout:
        raise XLIPError(f"validation: expected a share in [0, 1 - holdout), got {validation}")
    if short_side < 1:
        raise XLIPError(f"short_side: expected at least 1 pixel, got {short_side}")
    if encoding not in ENCODINGS:
        raise XLIPError(f"encoding: expected one of {', '.join(ENCODINGS)}; got {encoding!r}")
    compose_sections({}, sections)
    if not shard:
        return 0, 1
    index, _, count = shard.partition("/")
    if not (index.isdigit() and count.isdigit() and int(index) < int(count)):
        raise XLIPError(f"shard: expected i/n with i from 0 to n - 1, such as 0/4; got {shard!r}")
    return int(index), int(count)


def _rows(
    source: str, root: Path, options: Mapping[str, Any], holdout: float, validation: float, seed: int
) -> Iterator[Row]:
    read, share = load_source(source), holdout + validation
    try:
        for row in read(root, **options):
            if share and isinstance(row, Candidate) and held_out(row.study.patient_id, seed, share):
                # The others keep the split of their source: an official test study must never turn into training.
                part = "test" if held_out(row.study.patient_id, seed, holdout) else "val"
                if part == "test" or row.study.split != "test":
                    row = row._replace(study=row.study._replace(split=part))
            yield row
    except TypeError as error:
        if "unexpected keyword" in str(error):
            raise XLIPError(f"source {source}: {str(error).split('() ')[-1]}; see `xlip prepare --help`") from error
        raise
    except OSError as error:
        raise XLIPError(f"{root}: cannot read the source ({error.strerror or error}); check the path") from error


__all__ = ["Plan", "Summary", "held_out", "prepare"]
