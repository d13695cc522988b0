"""One of several kinds per image, typed (CheXpert 5x200)."""

from __future__ import annotations

from xlip.metrics.exclusive import exclusive
from xlip.metrics.labelled_scores import LabelledScores
from xlip.results.typed import Count, Interval, Part, Share


class ExclusiveKindFigures(Part):
    """One kind; see `xlip.metrics.exclusive.ExclusiveKind`."""

    recall: Share
    precision: Share
    f1: Share
    cases: Count


class ExclusiveFigures(Part):
    """Each case taken for the kind of its largest score; see `xlip.metrics.exclusive.Exclusive`."""

    accuracy: Share
    accuracy_ci95: Interval
    macro_f1: Share
    per_kind: dict[str, ExclusiveKindFigures]
    confusion: tuple[tuple[float, ...], ...]
    """Truth in rows, what it was taken for in columns, in the order of `per_kind`."""
    cases: Count
    left_out: Count
    """Without exactly one of the kinds."""


def exclusive_figures(test: LabelledScores, *, replicates: int = 1000, seed: int = 0) -> ExclusiveFigures:
    """How often the largest score names the one kind that a case has.

    Raises:
        XLIPError: fewer than two kinds, or no case with exactly one of them.
    """
    found = exclusive(test.labels, test.scores, test.patients, replicates=replicates, seed=seed)
    per_kind = dict(zip(test.kinds, map(ExclusiveKindFigures.model_validate, found.per_kind), strict=True))
    return ExclusiveFigures(**{**vars(found), "per_kind": per_kind})
