"""`xlip prepare`: a raw data set to a folder of Parquet shards, a quarantine table and statistics."""

from __future__ import annotations

import csv
import hashlib
import json
import multiprocessing
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

from xlip.data.images import load_for_storage
from xlip.data.sources import load_source
from xlip.data.sources.base import Candidate, Dropped
from xlip.data.study import Study, write_studies
from xlip.errors import XLIPError

SHARD = 20_000
"""Studies per Parquet file."""
CHUNK = 512
"""Studies held in memory at a time."""
STATE_NAMES = {1: "present", 0: "absent", -1: "uncertain"}


@dataclass
class Summary:
    """What `prepare` kept, dropped and why; written as `stats.json`."""

    source: str
    settings: dict[str, Any]
    kept: int = 0
    images: int = 0
    reports: int = 0
    pairs: int = 0
    patients: int = 0
    splits: Counter[str] = field(default_factory=Counter)
    views: Counter[str] = field(default_factory=Counter)
    kinds: dict[str, Counter[str]] = field(default_factory=dict)
    dropped: Counter[str] = field(default_factory=Counter)
    """Reason (its first words) -> rows."""

    def count(self, study: Study) -> None:
        """Add one kept study."""
        self.kept += 1
        self.images += study.image is not None
        self.reports += study.report is not None
        self.pairs += study.image is not None and study.report is not None
        self.splits[study.split] += 1
        self.views[study.view or "unknown"] += 1
        for kind, state in study.labels.items():
            self.kinds.setdefault(kind, Counter())[STATE_NAMES[state]] += 1


def prepare(
    source: str,
    root: Path,
    out: Path,
    *,
    short_side: int = 256,
    holdout: float = 0.0,
    seed: int = 0,
    workers: int = 2,
    options: Mapping[str, Any] | None = None,
) -> Summary:
    """Write `out/part-*.parquet`, `out/quarantine.csv` and `out/stats.json`, all or nothing.

    Args:
        source: a name in `SOURCES`.
        root: folder (or CSV file) of the raw set.
        out: folder to write; an earlier prepared one is replaced at the end.
        short_side: larger images are reduced to this, pixels.
        holdout: share of the patients whose split becomes `test`, see `held_out`; the rest keep the source's split.
        seed: of the hold-out.
        workers: processes that decode images; 0 = in this process.
        options: the source's own.

    Raises:
        XLIPError: wrong layout or option, nothing usable, or `out` holds something else.
    """
    if not 0 <= holdout < 1:
        raise XLIPError(f"holdout: expected a share in [0, 1), got {holdout}")
    settings = {"short_side": short_side, "holdout": holdout, "seed": seed, **(options or {})}
    summary = Summary(source, settings)
    rows = _rows(source, root, options or {})
    with _replaced_folder(out) as partial, (partial / "quarantine.csv").open("w", newline="", encoding="utf-8") as file:
        quarantine = csv.writer(file)
        quarantine.writerow(["row", "reason"])
        studies = _studies(rows, quarantine, summary, short_side, workers)
        kept = _counted((_with_split(study, holdout, seed) for study in studies), summary)
        _write_shards(kept, partial)
        if not summary.kept:
            worst = summary.dropped.most_common(1)
            raise XLIPError(f"{root}: no usable study" + (f"; {worst[0][1]} rows: {worst[0][0]}" if worst else ""))
        (partial / "stats.json").write_text(json.dumps(vars(summary), indent=2, sort_keys=True) + "\n", "utf-8")
    return summary


def held_out(patient_id: str, seed: int, share: float) -> bool:
    """Whether a patient belongs to the test split: a hash of seed and patient, the same for ever and everywhere."""
    digest = hashlib.blake2b(f"{seed}:{patient_id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64 < share


def _rows(source: str, root: Path, options: Mapping[str, Any]) -> Iterator[Candidate | Dropped]:
    read = load_source(source)
    try:
        yield from read(root, **options)
    except TypeError as error:
        if "unexpected keyword" in str(error):
            raise XLIPError(f"source {source}: {str(error).split('() ')[-1]}; see `xlip prepare --help`") from error
        raise


def _studies(
    rows: Iterable[Candidate | Dropped], quarantine: Any, summary: Summary, short_side: int, workers: int
) -> Iterator[Study]:
    """Images loaded, entities tagged, duplicates and damaged files sent to quarantine; order kept."""

    def drop(row: str, reason: str) -> None:
        quarantine.writerow([row, reason])
        summary.dropped[_reason_class(reason)] += 1

    seen: set[str] = set()
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) if workers else None
    with pool or nullcontext():
        rows = iter(rows)
        while chunk := list(islice(rows, CHUNK)):
            candidates = []
            for row in chunk:
                if isinstance(row, Dropped):
                    drop(row.row, row.reason)
                elif row.study.study_id in seen:
                    drop(row.study.study_id, "duplicate study id; the first one is kept")
                else:
                    seen.add(row.study.study_id)
                    candidates.append(row)
            jobs = [(c.file, short_side) for c in candidates]
            loaded = pool.map(_load, jobs, chunksize=16) if pool else map(_load, jobs)
            studies = []
            for candidate, (image, fault) in zip(candidates, loaded, strict=True):
                if fault:
                    drop(candidate.study.study_id, fault)
                else:
                    studies.append(candidate.study if image is None else replace(candidate.study, image=image))
            yield from _tagged(studies)


def _load(job: tuple[Path | None, int]) -> tuple[bytes | None, str]:
    file, short_side = job
    if file is None:
        return None, ""
    try:
        return load_for_storage(file, short_side), ""
    except XLIPError as error:
        return None, str(error)


def _tagged(studies: list[Study]) -> list[Study]:
    from xlip.data.entities import TAGGER, tag_all

    untagged = [number for number, study in enumerate(studies) if study.report and not study.entities]
    found = tag_all([studies[number].report or "" for number in untagged])
    for number, entities in zip(untagged, found, strict=True):
        studies[number] = replace(studies[number], entities=entities, tagger=TAGGER)
    return studies


def _with_split(study: Study, holdout: float, seed: int) -> Study:
    # The others keep the split of their source: an official test study must never turn into a training study.
    return replace(study, split="test") if held_out(study.patient_id, seed, holdout) else study


def _counted(studies: Iterable[Study], summary: Summary) -> Iterator[Study]:
    patients: set[str] = set()
    for study in studies:
        summary.count(study)
        patients.add(study.patient_id)
        yield study
    summary.patients = len(patients)


def _write_shards(studies: Iterator[Study], folder: Path) -> None:
    number = 0
    while True:
        path = folder / f"part-{number:05d}.parquet"
        written = write_studies(islice(studies, SHARD), path)
        if written < SHARD:
            if not written and number:
                path.unlink()
            return
        number += 1


@contextmanager
def _replaced_folder(out: Path) -> Iterator[Path]:
    """A temporary sibling of `out` that takes its place when the block succeeds and vanishes when it fails."""
    if out.exists() and not (out / "stats.json").exists() and (not out.is_dir() or any(out.iterdir())):
        raise XLIPError(f"{out} exists and was not written by `xlip prepare`; choose another --out")
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        yield partial
        partial.chmod(0o755)
        _swap(partial, out)
    finally:
        if partial.exists():
            shutil.rmtree(partial)


def _swap(partial: Path, out: Path) -> None:
    """Put `partial` in the place of `out`; the old folder goes last, and comes back when the new one cannot move."""
    if not out.exists():
        partial.rename(out)
        return
    old = partial.with_name(partial.name + ".old")
    out.rename(old)
    try:
        partial.rename(out)
    except BaseException:
        old.rename(out)
        raise
    shutil.rmtree(old)


def _reason_class(reason: str) -> str:
    """A reason without its names and numbers, so that equal reasons count together."""
    for mark in ("not a readable", "image file", "cannot read", "is empty (0 bytes)", "duplicate study id", "modality"):
        if mark in reason:
            return {"image file": "image file not found"}.get(mark, mark)
    return reason[:80]
