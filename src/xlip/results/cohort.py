"""The evaluation card: who was tested, against whom a finding was told apart, and at which threshold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from xlip.metrics.kinds import MIN_CASES, KindTable, kind_table
from xlip.metrics.labelled_scores import Array, LabelledScores, both_classes
from xlip.metrics.thresholds import PREFERRED, threshold_table
from xlip.metrics.transport import carried
from xlip.results.typed import Area, Count, Interval, Number, Part, Share


class Decision(Part):
    """One kind's threshold on the cases that were tested; intervals are over patients, the threshold held fixed."""

    rule: str
    """val: largest F1 on the validation split; 0.5; oracle: largest F1 on the test itself, too good by construction."""
    threshold: Number
    sensitivity: Share
    sensitivity_ci95: Interval
    specificity: Share
    specificity_ci95: Interval


class KindCohort(Part):
    """The cases that one kind was measured on."""

    positives: Count
    negatives: Count
    unknown: Count
    """Without a label, or with an uncertain one: they count neither way."""
    prevalence: Share
    healthy: Count
    """Negatives without any finding."""
    sick: Count
    """Negatives with another finding."""
    unclear: Count
    """Negatives of which the labels do not say."""
    against_healthy: Area
    against_sick: Area
    same_source: Area | None = None
    """On the sources alone that hold both classes; None where all cases are of one source."""
    sources: tuple[str, ...] = ()
    """Those."""

    @property
    def inflation(self) -> float | None:
        """AUROC against healthy negatives less that against otherwise sick ones."""
        high, low = self.against_healthy.auroc, self.against_sick.auroc
        return None if high is None or low is None else high - low

    @property
    def enough(self) -> bool:
        """Whether both AUROCs rest on at least 10 positives and negatives."""
        return min(self.positives, self.healthy, self.sick) >= MIN_CASES


class Cohort(Part):
    """All kinds, and the cases as a whole."""

    cases: Count
    """Rows that were scored: images, or studies over their views."""
    patients: Count
    per_kind: dict[str, KindCohort]
    macro_against_healthy: Area
    """Mean over `compared`, from the same draws of patients."""
    macro_against_sick: Area
    compared: tuple[str, ...]
    """Kinds with at least 10 positives, 10 healthy and 10 otherwise sick negatives."""


def cohort(test: LabelledScores, any_finding: Array, *, replicates: int = 1000, seed: int = 0) -> Cohort:
    """Count and measure.

    Args:
        test: scores beside the truth.
        any_finding: (n,) 1, 0 or -1, as `xlip.study.health.any_finding`.
        replicates: of the bootstrap over patients.
        seed: of the bootstrap.
    """
    labels, names = test.labels, list(test.kinds)
    negative = labels == 0
    sides = {
        "healthy": negative & (any_finding == 0)[:, None],
        "sick": negative & (any_finding == 1)[:, None],
    }
    sizes = {side: rows.sum(0) for side, rows in sides.items()}
    enough = np.array([(labels == 1).sum(0), *sizes.values()]).min(0) >= MIN_CASES
    options = {"replicates": replicates, "seed": seed}
    measured = {side: _measured(test, (labels == 1) | rows, **options) for side, rows in sides.items()}
    macro = {
        side: _macro(test, (labels == 1) | rows, enough, measured[side], **options) for side, rows in sides.items()
    }
    sources, same = _same_source(test, **options)
    per_kind = {}
    for place, kind in enumerate(names):
        known = labels[:, place] >= 0
        positives, negatives = int((labels[:, place] == 1).sum()), int(negative[:, place].sum())
        healthy, sick = int(sizes["healthy"][place]), int(sizes["sick"][place])
        per_kind[kind] = KindCohort(
            positives=positives,
            negatives=negatives,
            unknown=int((~known).sum()),
            prevalence=positives / int(known.sum()) if known.any() else None,
            healthy=healthy,
            sick=sick,
            unclear=negatives - healthy - sick,
            against_healthy=_area(measured["healthy"], place),
            against_sick=_area(measured["sick"], place),
            same_source=_area(same, place) if same else None,
            sources=sources.get(kind, ()),
        )
    return Cohort(
        cases=len(labels),
        patients=len(np.unique(test.patients)),
        per_kind=per_kind,
        macro_against_healthy=macro["healthy"],
        macro_against_sick=macro["sick"],
        compared=tuple(kind for kind, one in zip(names, enough, strict=True) if one),
    )


def decisions(
    test: LabelledScores, validation: LabelledScores | None = None, *, replicates: int = 1000, seed: int = 0
) -> dict[str, Decision]:
    """Kind -> the threshold by the first of `PREFERRED` rules that it has, and sensitivity and specificity by it.

    Kinds of which the test holds both classes alone.
    """
    table, found = threshold_table(test, validation), {}
    for kind, _, _ in both_classes(test):
        rule = next(rule for rule in PREFERRED if rule in table[kind])
        place = list(test.kinds).index(kind)
        made = carried(
            test.labels[:, place], test.scores[:, place], test.patients, table[kind][rule].threshold,
            replicates=replicates, seed=seed,
        )  # fmt: skip
        found[kind] = Decision(rule=rule, **vars(made))
    return found


def _measured(test: LabelledScores, kept: Array, replicates: int, seed: int) -> KindTable:
    """The usual figures with the labels of all cases but those of `kept` (n, K) taken as unknown."""
    labels = np.where(kept, test.labels, -1)
    return kind_table(labels, test.scores, test.patients, replicates=replicates, seed=seed)


def _macro(test: LabelledScores, kept: Array, chosen: Array, table: KindTable, replicates: int, seed: int) -> Area:
    """Over the kinds that both sides have enough cases of; `table`, of one side, may be over more."""
    if [one.enough for one in table.per_kind] != chosen.tolist():
        labels, scores = np.where(kept, test.labels, -1)[:, chosen], test.scores[:, chosen]
        table = kind_table(labels, scores, test.patients, replicates=replicates, seed=seed)
    return Area(auroc=table.macro_auroc, ci95=table.macro_ci95)


def _area(table: KindTable, place: int) -> Area:
    one = table.per_kind[place]
    return Area(auroc=one.auroc, ci95=one.ci95)


def _same_source(
    test: LabelledScores, replicates: int, seed: int
) -> tuple[Mapping[str, tuple[str, ...]], KindTable | None]:
    """Kind -> the sources that hold both of its classes, and the figures on these alone; nothing with one source."""
    sources: Array = np.asarray(test.groups.get("source", np.full(len(test.labels), "")))
    distinct: Sequence[str] = np.unique(sources).tolist()
    if len(distinct) < 2:
        return {}, None
    both = {
        kind: tuple(one for one in distinct if {0, 1} <= set(column[sources == one].tolist()))
        for kind, column in zip(test.kinds, test.labels.T, strict=True)
    }
    kept = np.stack([np.isin(sources, both[kind]) for kind in test.kinds], 1)
    return both, _measured(test, kept, replicates, seed)
