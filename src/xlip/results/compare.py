"""`xlip compare`: two evaluations of the same split side by side, with intervals and p-values of the difference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from pydantic import Field

from xlip.errors import XLIPError
from xlip.files import check_target, write_json
from xlip.metrics.comparison import paired_bootstrap
from xlip.metrics.delong import delong_test
from xlip.metrics.kinds import has_enough, left_out_note
from xlip.metrics.subgroups import group_rows
from xlip.results.classification import rows_of
from xlip.results.figures import READING_TITLES
from xlip.results.folder import read_result
from xlip.results.result import Array, Predictions
from xlip.results.scores_file import FILE_NAME, READING_NAMES
from xlip.results.typed import Count, Number, Part, Share, Span

COMPARISON_NAME = "comparison.json"


@dataclass(frozen=True)
class CompareConfig:
    """`xlip compare`."""

    folders: list[str]
    """Two folders that an evaluation wrote: A, then B."""
    out: str = ""
    """Folder for comparison.json; default: print alone."""
    replicates: int = 1000
    """Bootstrap replicates over patients."""
    seed: int = 0
    """Seed of the bootstrap."""


class DifferenceFigures(Part):
    """An AUROC of model a less that of model b, on the same cases."""

    auroc_a: Share
    auroc_b: Share
    difference: Number
    """a - b."""
    ci95: Span
    p: Share
    """Two-sided, paired bootstrap over patients."""
    positives: Count
    negatives: Count

    @property
    def enough(self) -> bool:
        """See `has_enough`."""
        return has_enough(self.positives, self.negatives)

    @property
    def better(self) -> str:
        """`A` or `B` where the interval leaves 0 out, else ''."""
        low, high = self.ci95
        return "" if low is None or high is None or low <= 0 <= high else "A" if low > 0 else "B"


class KindDifference(DifferenceFigures):
    """Of one kind."""

    delong_p: Share
    """Images count as independent."""


class GroupDifference(DifferenceFigures):
    """Of the macro means over the kinds with enough cases in one group."""

    value: str
    images: Count
    patients: Count
    kinds: tuple[str, ...]


class Comparison(Part):
    """Model a less model b, on the kinds that both scored: the content of `comparison.json`."""

    a: dict[str, str]
    """Its folder, and what makes its figures repeatable."""
    b: dict[str, str]
    macro: DifferenceFigures
    per_kind: dict[str, KindDifference]
    subgroups: dict[str, tuple[GroupDifference, ...]]
    """Variable (sex, age, view, source) -> its groups."""
    readings: dict[str, DifferenceFigures] = Field(default={})
    """Zero-shot: the macro mean by the positive prompts (pos), the negative ones (neg), the pair (pnc) and 'no X'
    (no_x), where both evaluations have it."""
    left_out: tuple[str, ...]
    """Kinds that are listed but not in the macro mean: fewer than 10 positives or negatives."""
    only_a: tuple[str, ...]
    """Kinds that b has not scored, left out."""
    only_b: tuple[str, ...]
    images: Count
    patients: Count


def compare(config: CompareConfig) -> Comparison:
    """Compare two evaluation folders, each with the `metrics.json` and `scores.csv` of an evaluation; write nothing.

    Raises:
        XLIPError: not two folders, a folder is no evaluation of kinds, or the two differ in split, studies, patients or
            truth, or share no kind.
    """
    if len(config.folders) != 2:
        raise XLIPError(f"compare: expected two folders, A and B; got {len(config.folders)}")
    a, b = (_Scored.read(folder) for folder in config.folders)
    _same_split(a, b)
    kinds = tuple(kind for kind in a.predictions.kinds if kind in b.predictions.kinds)
    if not kinds:
        sides = zip(config.folders, (a, b), strict=True)
        lists = "; ".join(f"{folder} has {', '.join(side.predictions.kinds)}" for folder, side in sides)
        raise XLIPError(f"compare: no kind in common; {lists}")
    first = _chosen(a.predictions, kinds)
    second = _chosen(_ordered_as(a, b), kinds)
    _same_truth(a, b, first, second)
    options = {"replicates": config.replicates, "seed": config.seed}
    measured = paired_bootstrap(first.labels, first.scores, second.scores, first.patients, **options)
    columns = zip(kinds, measured.per_kind, first.labels.T, first.scores.T, second.scores.T, strict=True)
    per_kind = {kind: KindDifference(**asdict(row), delong_p=delong_test(*arrays).p) for kind, row, *arrays in columns}
    return Comparison(
        a=a.named,
        b=b.named,
        macro=DifferenceFigures.model_validate(measured.macro),
        per_kind=per_kind,
        subgroups=_by_group(first, second.scores, **options),
        readings=_by_reading(a, b, kinds, **options),
        left_out=tuple(kind for kind, row in per_kind.items() if not row.enough),
        only_a=tuple(kind for kind in a.predictions.kinds if kind not in kinds),
        only_b=tuple(kind for kind in b.predictions.kinds if kind not in kinds),
        images=len(first.study_ids),
        patients=len(np.unique(first.patients)),
    )


def _by_group(
    first: Predictions, other: Array, *, replicates: int, seed: int
) -> dict[str, tuple[GroupDifference, ...]]:
    """The macro difference on each group's cases alone."""
    found = {}
    for name, groups in group_rows(first.groups).items():
        rows = []
        for value, chosen in groups:
            part = rows_of(first, chosen)
            options = {"replicates": replicates, "seed": seed}
            measured = paired_bootstrap(part.labels, part.scores, other[chosen], part.patients, **options)
            pairs = zip(first.kinds, measured.per_kind, strict=True)
            rows.append(
                GroupDifference(
                    **asdict(measured.macro),
                    value=value,
                    images=len(part.study_ids),
                    patients=len(np.unique(part.patients)),
                    kinds=tuple(kind for kind, row in pairs if row.enough),
                )
            )
        found[name] = tuple(rows)
    return found


def _by_reading(
    a: _Scored, b: _Scored, kinds: Sequence[str], *, replicates: int, seed: int
) -> dict[str, DifferenceFigures]:
    """The macro difference of every reading of the prompts that both have."""
    found = {}
    for name in READING_NAMES:
        if name not in a.readings or name not in b.readings:
            continue
        first, other = a.readings[name], b.readings[name]
        shared = tuple(kind for kind in kinds if kind in first.kinds and kind in other.kinds)
        one = _chosen(first, shared)
        two = _chosen(_ordered_as(replace(a, predictions=first), replace(b, predictions=other)), shared)
        measured = paired_bootstrap(one.labels, one.scores, two.scores, one.patients, replicates=replicates, seed=seed)
        found[name] = DifferenceFigures.model_validate(measured.macro)
    return found


def write_comparison(comparison: Comparison, folder: Path) -> Path:
    """Write `comparison.json` into a folder, whole or not at all; returns its path."""
    check_target(folder, folder=True)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / COMPARISON_NAME, comparison.to_json())
    return folder / COMPARISON_NAME


@dataclass(frozen=True)
class _Scored:
    """An evaluation with scores, and where it is."""

    folder: str
    identity: Mapping[str, str]
    predictions: Predictions
    others: Mapping[str, Predictions]
    """Reading of the prompts -> its scores, but for the one of `predictions`."""

    @classmethod
    def read(cls, folder: str) -> _Scored:
        result = read_result(Path(folder))
        if result.predictions is None:
            raise XLIPError(f"{folder}: {result.evaluator} has no scores of kinds, and nothing to compare by")
        return cls(folder, result.identity, result.predictions, result.readings)

    @property
    def readings(self) -> dict[str, Predictions]:
        """Every reading of the prompts; none where the evaluator has no prompts."""
        own = self.identity.get("scoring")
        return {**self.others, own: self.predictions} if own else {}

    @property
    def named(self) -> dict[str, str]:
        return {"folder": self.folder, **self.identity}


HEADER = ("kind", "AUROC A", "AUROC B", "A - B", "95 % interval", "p bootstrap", "p DeLong", "positives", "negatives")


def table_rows(comparison: Comparison) -> list[tuple[str, ...]]:
    """One row per kind and the macro mean as the last, as text."""
    rows = [
        (*_row(kind, row), _p(row.delong_p), str(row.positives), str(row.negatives))
        for kind, row in comparison.per_kind.items()
    ]
    return [*rows, (*_row("macro mean", comparison.macro), "", "", "")]


GROUP_HEADER = (*HEADER[:6], "better", "kinds", "images", "patients")


def group_table(comparison: Comparison) -> list[tuple[str, ...]]:
    """One row per group, as text; `better` names the model that is ahead where the interval leaves 0 out."""
    return [
        (*_row(f"{name} {row.value}", row), row.better or "-", str(len(row.kinds)), str(row.images), str(row.patients))
        for name, row in _groups(comparison)
    ]


READING_HEADER = ("macro, by", *HEADER[1:6], "better")


def reading_table(comparison: Comparison) -> list[tuple[str, ...]]:
    """One row per reading of the prompts, as text; none for evaluations without prompts."""
    return [(*_row(READING_TITLES[name], row), row.better or "-") for name, row in comparison.readings.items()]


def verdict(comparison: Comparison) -> str:
    """Whether B is better than A in every group, in one line; '' without groups."""
    groups = [(name, row) for name, row in _groups(comparison) if row.difference is not None]
    if not groups:
        return ""
    ahead = [f"{name} {row.value}" for name, row in groups if row.better == "A"]
    undecided = sum(row.better == "" for _, row in groups)
    name, least = max(groups, key=lambda one: one[1].difference or 0.0)
    last = f"B gains least in {name} {least.value}: A - B {_row('', least)[3]} ({_row('', least)[4]})"
    if not ahead and not undecided:
        return f"B is better in every group; {last}"
    better = len(groups) - len(ahead) - undecided
    worse = f"worse in {', '.join(ahead)}, " if ahead else ""
    return f"B is not better in every group: better in {better}, {worse}undecided in {undecided}; {last}"


def notes(comparison: Comparison) -> list[str]:
    """What has to be known beside the table."""
    lines = [
        f"not compared, scored by {name} alone: {', '.join(kinds)}"
        for name, kinds in (("A", comparison.only_a), ("B", comparison.only_b))
        if kinds
    ]
    by = {side.get("scoring", "pnc") for side in (comparison.a, comparison.b)}
    if len(by) > 1:
        lines.append(f"the two read their prompts differently ({' and '.join(sorted(by))}); compare reading by reading")
    if comparison.left_out:
        lines.append(left_out_note(comparison.left_out))
    images, patients = comparison.images, comparison.patients
    if patients < images:
        lines.append(
            f"{images} images of {patients} patients: the bootstrap draws patients; DeLong takes images for independent"
        )
    return [*lines, "p-values are two-sided and not adjusted for the number of kinds or groups"]


def _groups(comparison: Comparison) -> list[tuple[str, GroupDifference]]:
    return [(name, row) for name, rows in comparison.subgroups.items() for row in rows]


def _row(name: str, row: DifferenceFigures) -> tuple[str, ...]:
    interval = " to ".join(_text(bound, "+.3f") for bound in row.ci95)
    return name, _text(row.auroc_a), _text(row.auroc_b), _text(row.difference, "+.3f"), interval, _p(row.p)


def _text(value: float | None, form: str = ".3f") -> str:
    return "-" if value is None else f"{value:{form}}"


def _p(value: float | None) -> str:
    return "<0.001" if value is not None and value < 0.001 else _text(value)


def _same_split(a: _Scored, b: _Scored) -> None:
    """Size and checksum; the name of a split is where its file stood."""
    splits = a.identity["split"], b.identity["split"]
    if splits[0].split(":")[-2:] != splits[1].split(":")[-2:]:
        raise XLIPError(
            f"compare: the splits differ: {a.folder} has {splits[0]}, {b.folder} has {splits[1]}; "
            "evaluate both models on the same studies"
        )


def _ordered_as(a: _Scored, b: _Scored) -> Predictions:
    """The predictions of b in the order of the studies of a."""
    if a.predictions.study_ids == b.predictions.study_ids:
        return b.predictions
    place = {study_id: row for row, study_id in enumerate(b.predictions.study_ids)}
    missing = [study_id for study_id in a.predictions.study_ids if study_id not in place]
    if missing or not len(place) == len(a.predictions.study_ids) == len(b.predictions.study_ids):
        what = f"{missing[0]} is not in {b.folder}" if missing else f"{b.folder} has others, or some twice"
        raise XLIPError(f"compare: the studies of {FILE_NAME} differ: {what}; evaluate both models again")
    order = [place[study_id] for study_id in a.predictions.study_ids]
    chosen = {name: getattr(b.predictions, name)[order] for name in ("patients", "labels", "scores")}
    return replace(
        b.predictions, study_ids=a.predictions.study_ids, groups={}, any_finding=None, distances=None, **chosen
    )


def _same_truth(a: _Scored, b: _Scored, first: Predictions, second: Predictions) -> None:
    for what, mine, theirs in (
        ("patients", first.patients[:, None], second.patients[:, None]),
        ("labels", first.labels, second.labels),
    ):
        unlike = (mine != theirs).any(1)
        if unlike.any():
            study_id = first.study_ids[int(np.flatnonzero(unlike)[0])]
            raise XLIPError(
                f"compare: the {what} of {int(unlike.sum())} studies differ between {a.folder} and {b.folder}, "
                f"first {study_id}; evaluate both models on the same data"
            )


def _chosen(predictions: Predictions, kinds: Sequence[str]) -> Predictions:
    columns = [predictions.kinds.index(kind) for kind in kinds]
    labels, scores = (array[:, columns] for array in (predictions.labels, predictions.scores))
    return replace(predictions, kinds=tuple(kinds), labels=labels, scores=scores)
