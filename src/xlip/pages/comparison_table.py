"""Our figures beside published ones that were measured in the same way, and the reasons against the others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from xlip.pages.flat_figures import share_auroc
from xlip.pages.operating_points import operating_points
from xlip.pages.page import Page
from xlip.pages.published import Column, Ours, Table, differences, published_tables
from xlip.results.figures import ZeroShotFigures
from xlip.results.result import Result


def published_sections(page: Page, result: Result, split_name: str) -> None:
    """One table per published column that is comparable, and one with the reasons for the rest.

    Args:
        page: grows.
        result: a classifying one.
        split_name: the official name of the split, '' where it is not known.
    """
    ours = ours_of(result, split_name)
    page.heading("Beside published figures")
    reasons = []
    for table in published_tables():
        for column in table.columns:
            found = differences(ours, table, column)
            if found:
                reasons.append((column.name, table.source, "; ".join(found)))
            else:
                _comparable(page, result, table, column)
    if len(reasons) == sum(len(table.columns) for table in published_tables()):
        page.text("No published figure was measured as these were, so none stands beside them.")
    if reasons:
        page.text("Not comparable with this run, and therefore without a number here:")
        page.table(("data set", "published by", "why not"), reasons, words=(1, 2))


def ours_of(result: Result, split_name: str) -> Ours:
    """What decides about comparability, of an evaluation; the macro mean must be over all of the table's kinds."""
    assert result.kinds
    ours = Ours.of(result.evaluator, result.identity["split"], result.figures.images, result.kinds.counted)
    return ours if not split_name else Ours(ours.evaluator, split_name, ours.images, ours.kinds)


def _comparable(page: Page, result: Result, table: Table, column: Column) -> None:
    page.text(f"{table.title}, {column.name} (split {column.split}): {table.source}.")
    rows: list[tuple[str, ...]] = [
        (method, *(f"{value:.1f}" for value in cells[column.name]))
        for method, cells in table.rows.items()
        if column.name in cells
    ]
    rows.append(("this run", *(_own(result, metric, column.kinds) for metric in table.metrics)))
    page.table(("method, per cent", *table.metrics), rows)
    page.text(f"Prompts: {table.prompts}. {table.note}", note=True)


def _own(result: Result, metric: str, kinds: Sequence[str]) -> str:
    """The run's mean over a column's kinds, in per cent; a dash where it was not measured."""
    value = None
    if metric == "AUROC":
        assert result.kinds
        value = float(np.mean([result.kinds.per_kind[kind].auroc for kind in kinds]))
    elif metric in READINGS:
        value = _reading_mean(result, READINGS[metric], kinds)
    elif metric.startswith("AUROC at "):
        value = share_auroc(result, metric.removeprefix("AUROC at "))
    elif metric in ORACLE and result.predictions is not None:
        value = _oracle_mean(result, ORACLE[metric], kinds)
    return "-" if value is None else f"{100 * value:.1f}"


READINGS = {"POS AUROC": "pos", "PNC AUROC": "pnc", "NEG AUROC": "neg"}
"""Metric of a published table -> the reading of the prompts that it stands for."""


def _reading_mean(result: Result, name: str, kinds: Sequence[str]) -> float | None:
    """Mean AUROC of one reading over a column's kinds; None where it was not measured."""
    found = result.figures.negation if isinstance(result.figures, ZeroShotFigures) else None
    if not found:
        return None
    areas = getattr(next(iter(found.values())), name).per_kind
    values = [areas[kind].auroc for kind in kinds if kind in areas]
    return None if len(values) < len(kinds) or None in values else float(np.mean(values))


ORACLE = {"F1 at the oracle threshold": "f1", "accuracy at the oracle threshold": "accuracy"}


def _oracle_mean(result: Result, name: str, kinds: Sequence[str]) -> float | None:
    assert result.predictions is not None
    points = operating_points(result.predictions, None)
    rows = points.rows() if points else ()
    values = [getattr(m, name) for kind, rule, m in rows if rule == "oracle" and kind in kinds]
    return float(np.mean(values)) if values else None
