"""`xlip audit`: is anything of the test sets in the training data, and what else is wrong with the data?"""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from xlip.audit.checks import Conflict, Shortcut, conflicts, missing_sections, shortcuts
from xlip.audit.index import Facts, Index, SetPart, build_index
from xlip.audit.match import HINT, KINDS, Overlap, overlaps
from xlip.errors import XLIPError
from xlip.files import open_path, write_whole, writing
from xlip.sources.source import read_table

EXCLUSION_COLUMNS = ("study_id", "kind", "test_study_id", "score")


@dataclass(frozen=True)
class AuditConfig:
    """`xlip audit`."""

    train: list[str]
    """Prepared training sets: PATH (its split train, where it has one) or PATH:SPLIT."""
    against: list[str] = field(default_factory=list)
    """Prepared test sets: PATH (its split test, where it has one) or PATH:SPLIT."""
    write_exclusions: str = ""
    """CSV file to write: the training studies that leak, for `data.exclusions` of `xlip pretrain`."""
    exclusions: str = ""
    """A list written earlier: its studies are taken as left out."""
    out: str = ""
    """JSON file for everything that was found."""
    workers: int = 2
    """Processes that hash images; 0 = in this process."""
    checks: bool = True
    """Also look for shortcuts, missing sections and label conflicts."""


@dataclass
class AuditReport:
    """What an audit found."""

    train: list[str]
    tests: list[str]
    studies: dict[str, int] = field(default_factory=dict)
    """Studies of each set that were read."""
    overlaps: dict[str, list[Overlap]] = field(default_factory=dict)
    """`TRAIN > TEST` -> overlaps."""
    excluded: int = 0
    """Overlapping training studies that are on the list of exclusions already."""
    shortcuts: list[Shortcut] = field(default_factory=list)
    sections: dict[str, int] = field(default_factory=dict)
    conflicts: dict[str, list[Conflict]] = field(default_factory=dict)
    unreadable: int = 0
    tiny: dict[str, int] = field(default_factory=dict)
    """Images of each set that are too small to be compared as pictures safely; sets without such are left out."""

    @property
    def leaking(self) -> dict[str, Overlap]:
        """Training study -> its most telling overlap; pictures that are only alike are no leak."""
        found: dict[str, Overlap] = {}
        for item in (item for items in self.overlaps.values() for item in items):
            if item.kind != HINT:
                found.setdefault(item.train, item)
        return dict(sorted(found.items()))

    def table(self) -> list[tuple[str, str, int, int]]:
        """Rows (pair of sets, kind, training studies, test studies)."""
        return [
            (pair, kind, len({item.train for item in chosen}), len({item.test for item in chosen}))
            for pair, items in self.overlaps.items()
            for kind in (*KINDS, HINT)
            if (chosen := [item for item in items if item.kind == kind])
        ]


def audit(config: AuditConfig) -> AuditReport:
    """Compare training sets with test sets, and check the training sets; nothing is written.

    Raises:
        XLIPError: no set, no such split, or no readable list.
    """
    if not config.train:
        raise XLIPError("audit: expected at least one prepared training set")
    workers = config.workers
    left_out = read_exclusions(config.exclusions) if str(config.exclusions) else frozenset()
    pictures = bool(config.against) or config.checks
    tests = [build_index(SetPart.parse(text), posed=True, prefer="test", workers=workers) for text in config.against]
    report = AuditReport([], [index.name for index in tests], {index.name: len(index.ids) for index in tests})
    facts: list[Facts] = []
    for text in config.train:
        index = build_index(SetPart.parse(text), posed=False, prefer="train", workers=workers, pictures=pictures)
        _compare(report, index, tests, left_out, workers)
        if config.checks:
            facts += index.facts
            report.conflicts[index.name] = conflicts(index)
    report.unreadable += sum(index.unreadable for index in tests)
    report.tiny |= {index.name: index.tiny for index in tests if index.tiny}
    report.shortcuts, report.sections = shortcuts(facts), missing_sections(facts)
    return report


def write_exclusions(report: AuditReport, path: str | Path) -> int:
    """Write the training studies that leak as CSV (`study_id`, why, which test study); returns their number."""
    text = io.StringIO(newline="")
    table = csv.writer(text)
    table.writerow(EXCLUSION_COLUMNS)
    leaking = report.leaking
    for item in leaking.values():
        table.writerow([item.train, item.kind, item.test, item.score])
    _write(Path(path), text.getvalue().encode("utf-8"))
    return len(leaking)


def read_exclusions(path: str | Path) -> frozenset[str]:
    """Study ids of a list of exclusions.

    Raises:
        XLIPError: no such file, no column `study_id`, or a row that does not fit.
    """
    return frozenset(row["study_id"] for _, row in read_table(open_path(path), ("study_id",)))


def refuse_leaks(train: Iterable[str], tests: Sequence[str], exclusions: str) -> None:
    """Stop a training run whose data hold something of its declared test sets.

    Args:
        train: prepared sets as `PATH:SPLIT`.
        tests: prepared test sets; nothing is checked where there are none.
        exclusions: list of studies that the run leaves out; "" where there is none.

    Raises:
        XLIPError: a leak; the message says how to leave the studies out.
    """
    sets = list(dict.fromkeys(train))
    if not tests or not sets:
        return
    report = audit(AuditConfig(sets, list(tests), exclusions=exclusions, checks=False))
    leaking = report.leaking
    if leaking:
        kinds = Counter(item.kind for item in leaking.values())
        said = ", ".join(f"{kinds[kind]} by {kind}" for kind in KINDS if kinds[kind])
        raise XLIPError(
            f"{len(leaking)} training studies are in the test sets ({said}), such as {next(iter(leaking))}; "
            f"run `xlip audit {' '.join(sets)} --against {' '.join(tests)} --write-exclusions FILE` and set "
            "data.exclusions to FILE"
        )


def write_audit(report: AuditReport, path: str | Path) -> None:
    """Write everything as JSON."""
    content: dict[str, Any] = asdict(report)
    content["leaking"] = len(report.leaking)
    _write(Path(path), (json.dumps(content, indent=2) + "\n").encode())


def _write(path: Path, data: bytes) -> None:
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, data)


def _compare(report: AuditReport, index: Index, tests: Sequence[Index], left_out: frozenset[str], workers: int) -> None:
    report.train.append(index.name)
    report.studies[index.name] = len(index.ids)
    report.unreadable += index.unreadable
    report.tiny |= {index.name: index.tiny} if index.tiny else {}
    for test in tests:
        found = overlaps(index, test, workers)
        report.excluded += len({item.train for item in found if item.train in left_out})
        report.overlaps[f"{index.name} > {test.name}"] = [item for item in found if item.train not in left_out]
