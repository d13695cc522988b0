"""`xlip prepare`: a raw data set to a folder of Parquet parts, tables of drops and warnings, and a data card.

Two passes over the source's tables: the survey counts and fixes the parts (`plan`), then processes make one
part each (`part`, `pool`). A part and its journal entry are final: a killed run goes on from there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any

from xlip.errors import XLIPError
from xlip.files import is_local, open_path
from xlip.preparation.card import Summary, finish
from xlip.preparation.part import Settings
from xlip.preparation.plan import Plan, Unit, survey, units
from xlip.preparation.splits import Item, Split, make_split, rule
from xlip.preparation.splits.rule import by_hash
from xlip.preparation.target import Target
from xlip.reports.entities import TAGGER
from xlip.reports.sections import DEFAULT_PRIORITY, compose_sections
from xlip.sources import load_source
from xlip.sources.pseudonyms import Private
from xlip.sources.source import Candidate, Row

OWN = frozenset({"csv", "folder", "dicom"})
"""Sources of one's own archives, whose reports still name people."""
WITH_KEY = frozenset({"csv"})
"""Those that hash ids only where a key is given."""
ENCODINGS = ("jpeg", "png")
UNNAMED = "(not kept: your own archive)"
"""What stands on the card in the place of a path where ids are hashed: folders are called after people."""
KEPT_ROWS = 20_000
"""Rows of a source that may stay in memory, some 20 MB."""
_Executor = Callable[[Iterator[Unit], Settings, int, Callable[[int], None]], None]
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
    """Seed of both draws."""
    workers: int = 2
    """Processes that make parts; 0 = in this process."""
    encoding: str = "jpeg"
    """jpeg (quality 95) or png, for images that cannot be kept byte for byte."""
    sections: str = DEFAULT_PRIORITY
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
    executor: str = "processes"
    """Who makes the parts: processes (of this machine) or ray (a cluster, or a local one that it starts)."""
    writing: bool | None = None
    """Look for writing burned into pictures that are no DICOM files too, in each at its full size (a large JPEG takes
    three times as long); default: in `csv`, where JPEG files are looked at in full by sample, and all of them from the
    first find on."""
    strict: bool = False
    """Take warnings for errors: no set is written where anything was guessed, repaired or lost."""
    options: dict[str, Any] = field(default_factory=dict)
    """The source's own: `--options.image_column path`, say."""


def prepare(
    source: str, root: str | Path, out: str | Path, *, progress: Progress | None = None, **options: Any
) -> Summary:
    """`prepare_set` in one line: `prepare("csv", "my.csv", "data/mine", holdout=0.2)`.

    Args:
        source: a name in `SOURCES`.
        root: folder (or CSV file) of the raw set; a path or an fsspec URL.
        out: folder to write.
        progress: called now and then.
        options: any other field of `PrepareConfig`.

    Raises:
        TypeError: `PrepareConfig` has no such field.
        XLIPError: as `prepare_set`.
    """
    return prepare_set(PrepareConfig(source=source, root=str(root), out=str(out), **options), progress)


def prepare_set(config: PrepareConfig, progress: Progress | None = None) -> Summary:
    """Write Parquet parts, `quarantine.csv`, `warnings.csv`, `stats.json`, `README.md` and pictures; all or nothing.

    A run that was stopped in any way goes on where it stopped when it is called again with the same config. An earlier
    prepared local folder is replaced at the end.

    Args:
        config: see `PrepareConfig`.
        progress: called now and then.

    Raises:
        XLIPError: wrong layout or option, nothing usable, `out` is foreign or not writable, warnings where `strict`.
    """
    root = open_path(config.root)
    index, count = _shard(config)
    run_units = _executor(config.executor)
    named = {name: getattr(config, name) for name in ("short_side", "encoding", "sections", "split")}
    hidden = config.source in OWN if config.deidentify is None else config.deidentify
    writing = _writing(config)
    # The tagger's version too: a set that another one began is not gone on with.
    shares = {name: getattr(config, name) for name in ("holdout", "validation", "seed")}
    hiding = {"deidentify": hidden, "writing": writing}
    settings = {"root": str(root), **named, "tagger": TAGGER, **hiding, **shares, **config.options}
    read = _once(partial(_rows, config, root))
    plan = survey(read(), {"source": config.source, **settings}, _splitter(config, root))
    target = Target.at(open_path(config.out), shared=count > 1)
    lossless = config.encoding == "png"
    worker = Settings(root, target.work, config.short_side, lossless, config.sections, hidden, writing)
    with target.opened(plan):
        meter = _Meter(progress, plan.studies)
        keys: dict[str, str] = {}
        wanted = (unit for unit in _noted(units(read(), plan), keys) if unit.part % count == index)
        run_units(_unfinished(wanted, target, meter), worker, config.workers, meter.add)
        meter.close()
        return finish(target, plan, keys, config.source, _shown(settings, config), strict=config.strict)


def _writing(config: PrepareConfig) -> str:
    """How writing is looked for: see `part.Settings`."""
    if config.writing is None:
        return "sample" if config.source == "csv" else "no"
    return "full" if config.writing else "no"


def _shown(settings: dict[str, Any], config: PrepareConfig) -> dict[str, Any]:
    """The settings for card and errors: without paths where ids are hashed."""
    if private_files(config) is None:
        return settings
    return {name: UNNAMED if name in ("root", "reports", "key") else value for name, value in settings.items()}


def _executor(name: str) -> _Executor:
    """What runs the parts; all of them write the same files and records, byte for byte."""
    modules = {"processes": "pool", "ray": "ray_executor"}
    if name not in modules:
        raise XLIPError(f"executor: expected one of {', '.join(modules)}; got {name!r}")
    run: _Executor = import_module(f"xlip.preparation.{modules[name]}").run_units
    return run


def _once(read: Callable[[], Iterator[Row]]) -> Callable[[], Iterable[Row]]:
    """The rows of a source, which are gone through twice: those of a small one without pictures are kept."""
    kept: list[Row] = []
    for row in read():
        if len(kept) == KEPT_ROWS or (isinstance(row, Candidate) and (row.study.image or row.study.masks)):
            return read
        kept.append(row)
    return lambda: kept


def _source_options(config: PrepareConfig) -> dict[str, Any]:
    """The options of a source, with the private files in the place of the key's path where it hashes ids."""
    private = private_files(config)
    if private is None:
        return config.options
    return {name: value for name, value in config.options.items() if name != "key"} | {"private": private}


def private_files(config: PrepareConfig) -> Private | None:
    """The key and the list of a source that hashes ids: the user's key, or a new one beside `out`; None for others."""
    if "private" not in signature(load_source(config.source)).parameters:
        return None
    key, out = str(config.options.get("key", "")), open_path(config.out)
    if not key and config.source in WITH_KEY:
        return None
    if not is_local(out):
        return Private(Path(key) if key else None)  # a private file does not belong beside a URL
    beside = out.resolve()
    lookup = beside.with_name(f"{beside.name}.lookup.csv")
    return Private(Path(key) if key else beside.with_name(f"{beside.name}.key"), lookup, make=not key)


def _splitter(config: PrepareConfig, root: Path) -> Callable[[list[Item]], Split] | None:
    """What makes the named split of the items; None where none is asked for."""
    if not config.split:
        return None
    rule(config.split)  # an unknown name is refused before the set is read
    folder = open_path(config.lists) if str(config.lists) not in ("", ".") else root
    return lambda items: make_split(config.split, items, folder)


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


def _noted(all_units: Iterator[Unit], keys: dict[str, str]) -> Iterator[Unit]:
    """The units, whose keys are written down: those of other machines must be of the same state of the source."""
    for unit in all_units:
        keys[unit.name] = unit.key
        yield unit


def _unfinished(wanted: Iterator[Unit], target: Target, meter: _Meter) -> Iterator[Unit]:
    for unit in wanted:
        if target.finished_kept(unit.name, unit.key) is None:
            yield unit
        else:
            meter.add(len(unit.rows))


def _shard(config: PrepareConfig) -> tuple[int, int]:
    """(i, n) of the parts to make, once every option has been looked at."""
    if not 0 <= config.holdout < 1:
        raise XLIPError(f"holdout: expected a share in [0, 1), got {config.holdout}")
    if not 0 <= config.validation < 1 - config.holdout:
        raise XLIPError(f"validation: expected a share in [0, 1 - holdout), got {config.validation}")
    if config.short_side < 1:
        raise XLIPError(f"short_side: expected at least 1 pixel, got {config.short_side}")
    if config.encoding not in ENCODINGS:
        raise XLIPError(f"encoding: expected one of {', '.join(ENCODINGS)}; got {config.encoding!r}")
    compose_sections({}, config.sections)
    if not config.shard:
        return 0, 1
    index, _, count = config.shard.partition("/")
    if not (index.isdigit() and count.isdigit() and int(index) < int(count)):
        raise XLIPError(f"shard: expected i/n with i from 0 to n - 1, such as 0/4; got {config.shard!r}")
    return int(index), int(count)


def _rows(config: PrepareConfig, root: Path) -> Iterator[Row]:
    read, holdout, share = load_source(config.source), config.holdout, config.holdout + config.validation
    try:
        for row in read(root, **_source_options(config)):
            if share and isinstance(row, Candidate) and held_out(row.study.patient_id, config.seed, share):
                # The others keep the split of their source: an official test study must never turn into training.
                part = "test" if held_out(row.study.patient_id, config.seed, holdout) else "val"
                if part == "test" or row.study.split != "test":
                    row = row._replace(study=row.study._replace(split=part))
            yield row
    except TypeError as error:
        if "unexpected keyword" in str(error):
            wrong = str(error).split("() ")[-1]
            raise XLIPError(f"source {config.source}: {wrong}; see `xlip prepare --help`") from error
        raise
    except OSError as error:
        place = error.filename or root
        raise XLIPError(f"{place}: cannot read the source ({error.strerror or error}); check the path") from error


__all__ = ["Plan", "Summary", "held_out", "prepare", "prepare_set"]
