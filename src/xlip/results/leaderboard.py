"""`xlip leaderboard`: many evaluations, of which those on the same cases with the same truth are compared."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from xlip.errors import XLIPError
from xlip.files import check_target, write_json
from xlip.identity import digest
from xlip.metrics.comparison import holm, paired_bootstrap
from xlip.results.compare import DifferenceFigures
from xlip.results.folder import METRICS_NAME, read_result
from xlip.results.result import Array, Predictions, Result
from xlip.results.typed import Count, Interval, Part, Share

FILE = "leaderboard.json"


@dataclass(frozen=True)
class LeaderboardConfig:
    """`xlip leaderboard`."""

    folders: list[str]
    """Folders of evaluations, or folders that hold such at any depth."""
    out: str
    """Folder for leaderboard.html and leaderboard.json."""
    replicates: int = 1000
    """Bootstrap replicates over patients."""
    seed: int = 0
    """Seed of the bootstrap."""


class Entry(Part):
    """One evaluation."""

    folder: str
    evaluator: str
    identity: dict[str, str]
    version: str
    """Of xlip; '' where the folder does not say."""
    macro_auroc: Share
    macro_ci95: Interval
    against_best: DifferenceFigures | None = None
    """Its macro AUROC less that of the first of its board, on the same draws of patients; None for the first."""
    p_holm: Share = None
    """Of `against_best`, adjusted for the number of the board's evaluations after Holm."""

    @property
    def worse(self) -> bool:
        """Whether the interval of the difference to the first lies below 0 and the adjusted p-value below 0.05."""
        high = self.against_best.ci95[1] if self.against_best else None
        return high is not None and high < 0 and self.p_holm is not None and self.p_holm < 0.05


class Board(Part):
    """Evaluations that may be compared: the same cases, the same kinds, the same truth."""

    split: str
    """Split id of the first."""
    kinds: tuple[str, ...]
    """Of the macro mean."""
    cases: Count
    patients: Count
    entries: tuple[Entry, ...]
    """The largest macro AUROC first."""


class Apart(Part):
    """An evaluation that stands beside no other, and why."""

    folder: str
    evaluator: str
    split: str
    figure: str
    """Its headline in words."""
    reason: str


class Leaderboard(Part):
    """The content of `leaderboard.json`."""

    schema_version: Count = 1
    boards: tuple[Board, ...]
    """Those of several evaluations, the largest first."""
    apart: tuple[Apart, ...]
    replicates: Count
    seed: Count


def leaderboard(config: LeaderboardConfig) -> Leaderboard:
    """Read every evaluation and compare those that may be.

    Raises:
        XLIPError: a folder is missing, no evaluation is found, or one cannot be read (by name, with the remedy).
    """
    check_target(Path(config.out), folder=True)
    folders = _found(config.folders)
    names = _names(folders)
    groups: dict[str, list[tuple[str, Result]]] = defaultdict(list)
    for folder in folders:
        result = read_result(folder)
        groups[_key(result)].append((names[folder], result))
    several = [group for key, group in groups.items() if key and len(group) > 1]
    several.sort(key=lambda group: (-len(group), group[0][0]))
    alone = [one for key, group in groups.items() if not key or len(group) < 2 for one in group]
    options = {"replicates": config.replicates, "seed": config.seed}
    return Leaderboard(
        boards=tuple(_board(group, **options) for group in several),
        apart=tuple(_apart(name, result, [group[0][1] for group in several]) for name, result in alone),
        replicates=config.replicates,
        seed=config.seed,
    )


def write_leaderboard(found: Leaderboard, folder: Path) -> Path:
    """Write `leaderboard.json`, whole or not at all; returns its path."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / FILE, found.to_json())
    return folder / FILE


def _found(places: Sequence[str]) -> list[Path]:
    found: dict[Path, None] = {}
    for place in map(Path, places):
        if not place.is_dir():
            raise XLIPError(f"{place}: no such folder; expected one of an evaluation, or one that holds such")
        below = sorted(file.parent for file in place.rglob(METRICS_NAME))
        if not below:
            raise XLIPError(f"{place}: no {METRICS_NAME} at any depth; name folders that `xlip evaluate` wrote")
        found |= dict.fromkeys(below)
    return list(found)


def _names(folders: Sequence[Path]) -> dict[Path, str]:
    """What tells the folders apart: their paths without the parts that all share."""
    if len(folders) == 1:
        return {folders[0]: folders[0].resolve().name}
    parts = [folder.resolve().parts for folder in folders]
    shared = 0
    while len({one[: shared + 1] for one in parts}) == 1:
        shared += 1
    return {folder: "/".join(one[shared:]) or folder.name for folder, one in zip(folders, parts, strict=True)}


def _key(result: Result) -> str:
    """Equal for evaluations that may be compared; '' where nothing was classified."""
    test = result.predictions
    if result.kinds is None or test is None or not result.kinds.counted:
        return ""
    kinds, order = sorted(result.kinds.counted), np.argsort(np.array(test.study_ids), kind="stable")
    columns = [test.kinds.index(kind) for kind in kinds]
    truth = test.labels[order][:, columns].astype(np.int8)
    ids, patients = ([str(values[row]) for row in order] for values in (test.study_ids, test.patients))
    return digest(result.identity["split"].split(":")[-2:], kinds, ids, patients, truth.tobytes().hex())


def _board(group: Sequence[tuple[str, Result]], replicates: int, seed: int) -> Board:
    ranked = sorted(group, key=lambda one: (-one[1].macro_auroc, one[0]))
    first = ranked[0][1]
    assert first.predictions is not None
    assert first.kinds is not None
    kinds = sorted(first.kinds.counted)
    best, scores = _columns(first.predictions, kinds)
    options = {"replicates": replicates, "seed": seed}
    gaps = [
        DifferenceFigures.model_validate(
            paired_bootstrap(
                best.labels, _columns(result.predictions, kinds)[1], scores, best.patients, **options
            ).macro
        )
        for _, result in ranked[1:]
        if result.predictions is not None
    ]
    adjusted = holm([float("nan") if gap.p is None else gap.p for gap in gaps])
    entries = [_entry(*ranked[0])]
    entries += [_entry(*one, gap, p) for one, gap, p in zip(ranked[1:], gaps, adjusted, strict=True)]
    return Board(
        split=first.identity["split"],
        kinds=tuple(kinds),
        cases=len(best.study_ids),
        patients=len(np.unique(best.patients)),
        entries=tuple(entries),
    )


def _entry(name: str, result: Result, gap: DifferenceFigures | None = None, p: float | None = None) -> Entry:
    assert result.kinds is not None
    return Entry(
        folder=name,
        evaluator=result.evaluator,
        identity=dict(result.identity),
        version=result.version,
        macro_auroc=result.kinds.macro_auroc,
        macro_ci95=result.kinds.macro_ci95,
        against_best=gap,
        p_holm=p,
    )


@dataclass(frozen=True)
class _Ordered:
    study_ids: list[str]
    patients: Array
    labels: Array


def _columns(test: Predictions, kinds: Sequence[str]) -> tuple[_Ordered, Array]:
    """The cases in the order of their ids, and the scores (n, K) of some kinds."""
    order = np.argsort(np.array(test.study_ids), kind="stable")
    columns = [test.kinds.index(kind) for kind in kinds]
    ids = [test.study_ids[row] for row in order]
    patients = np.array([str(one) for one in test.patients[order]])
    return _Ordered(ids, patients, test.labels[order][:, columns]), test.scores[order][:, columns]


def _apart(name: str, result: Result, boards: Sequence[Result]) -> Apart:
    shown = [
        f"{what.strip()} {'-' if value is None else f'{value:.3f}'}" for what, value, _ in result.figures.headline()
    ]
    return Apart(
        folder=name,
        evaluator=result.evaluator,
        split=result.identity["split"],
        figure=", ".join(shown[:3]) or "none",
        reason=_reason(result, boards),
    )


def _reason(result: Result, boards: Sequence[Result]) -> str:
    if result.kinds is None or result.predictions is None:
        return f"{result.evaluator} has no scores of kinds to compare by"
    if not result.kinds.counted:
        return "no kind has 10 images with and 10 without it"
    split = result.identity["split"].split(":")[-2:]
    same = [other for other in boards if other.identity["split"].split(":")[-2:] == split]
    if not same:
        return "no other evaluation is of this split"
    other = same[0]
    assert other.kinds is not None
    mine, theirs = set(result.kinds.counted), set(other.kinds.counted)
    if mine != theirs:
        return f"other kinds than the board of its split: {_difference(mine, theirs)}"
    return "the same studies with other labels or patients than the board of its split: evaluate again"


def _difference(mine: set[str], theirs: set[str]) -> str:
    sides: Mapping[str, set[str]] = {"lacks": theirs - mine, "has besides": mine - theirs}
    return "; ".join(f"{word} {', '.join(sorted(kinds))}" for word, kinds in sides.items() if kinds)
